"""The inference service: loads one published version of the model and answers over HTTP."""
