import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("soft", "hard", "connections"), [(300, 1024, 768), (300, 8192, 4096), (1024, 1024, 768), (200, 200, 1)]
)
def test_connections_are_no_more_than_files_may_be_open(soft, hard, connections):
    told = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "from app.server.run import _connections; from app.settings import Settings; "
        "most = _connections(Settings()).settings.max_connections; "
        "print(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(most, 1) + 100)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), "True"]
