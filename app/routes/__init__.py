"""One file per surface. A route reads a request, asks the service, and represents the result."""
