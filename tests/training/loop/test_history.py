from training.loop.history import Epoch, write_table
from training.loop.losses import Losses


def test_the_table_has_a_row_for_each_epoch_and_no_times(tmp_path):
    history = [Epoch(i, Losses(3 * i, 2 * i, i), Losses(3.00004, 2, 1), 0.1 * i) for i in (1, 2)]
    write_table(history, tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_bytes() == (
        b"epoch,loss,xent,kl,val_loss,val_xent,val_kl\n"
        b"1,3.0000,2.0000,1.0000,3.0000,2.0000,1.0000\n"
        b"2,6.0000,4.0000,2.0000,3.0000,2.0000,1.0000\n"
    )
