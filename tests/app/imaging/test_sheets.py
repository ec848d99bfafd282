import numpy as np
import pytest

from app.errors import InvalidParameter
from app.imaging.sheets import contact_sheet, enlarge


def test_a_contact_sheet_goes_row_by_row():
    digits = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    sheet = contact_sheet(digits, 2)
    assert sheet.shape == (6, 6)
    assert sheet[::2, ::3].tolist() == [[0, 1], [2, 3], [4, 0]]
    assert contact_sheet(digits).shape == (4, 9)


def test_enlarging_has_a_bound():
    assert enlarge(np.ones((2, 3), np.uint8), 2, 24).shape == (4, 6)
    with pytest.raises(InvalidParameter, match="6 x 4"):
        enlarge(np.ones((2, 3), np.uint8), 2, 23)
