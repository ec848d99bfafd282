"""What schemathesis cannot know from an OpenAPI document: files that really are of their media type."""

import numpy as np
import schemathesis
from hypothesis import strategies as st

from app.api.formats import npy
from tests.support.pictures import file_of

DIGIT = np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)

for kind in ("png", "jpeg", "webp", "bmp"):
    schemathesis.openapi.media_type(f"image/{kind}", st.just(file_of(DIGIT, kind.upper())))
schemathesis.openapi.media_type(npy.MEDIA_TYPE, st.sampled_from([npy.dumps(DIGIT), npy.dumps(np.zeros((2, 2)))]))
