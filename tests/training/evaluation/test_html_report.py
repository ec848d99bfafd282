import numpy as np
import pytest

from training.config import Config
from training.data.dataset import DataSet
from training.evaluation.html_report import write_page


@pytest.mark.slow
def test_the_page_needs_nothing_else(exported):
    _, root = exported
    page = (root / "reports" / "1" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page
    assert "<script" not in page
    assert "test_loss" in page


@pytest.mark.parametrize(("latent_dim", "projected"), [(2, False), (3, True)])
def test_a_page_has_the_pictures_that_are_there_and_takes_no_name_for_html(tmp_path, latent_dim, projected):
    (tmp_path / "latent.png").write_bytes(b"a picture")
    images = np.zeros((1234, 2, 2), np.uint8)
    data = DataSet("<b>mine", images, None, images[:7], None)
    measures = {"test_loss": 161.304, "test_xent": 155.2, "test_kl": 6.1, "knn_accuracy": 0.56123}
    write_page(Config(limit=1000, latent_dim=latent_dim), data, measures, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 1
    assert "YSBwaWN0dXJl" in page
    assert "1,000 training and 7 test images" in page
    assert "161.30" in page
    assert "0.5612" in page
    assert ("principal directions" in page) == projected
    assert "<b>" not in page
    assert "&lt;b&gt;mine" in page
