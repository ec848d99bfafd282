import signal

import pytest

from tests.support.forked import Forked

pytestmark = pytest.mark.slow

LOOK = """
import os, sys
assert "tensorflow" in sys.modules
from tensorflow.python.eager import context
print(context.context()._initialized, sys.argv, file=sys.stderr)
print(os.environ["SAID"])
sys.exit(7)
"""


def test_a_program_begins_with_tensorflow_imported_and_not_initialised():
    with Forked(["-c", LOOK, "an argument"], {"SAID": "hello"}) as process:
        output, errors = process.communicate(60)
    assert (process.returncode, output) == (7, "hello\n"), errors
    assert errors == "False ['-c', 'an argument']\n"


def test_a_signal_ends_it_as_any_process():
    with Forked(["-c", "import time; print('here', flush=True); time.sleep(60)"]) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(60)
    assert process.returncode == -signal.SIGKILL
