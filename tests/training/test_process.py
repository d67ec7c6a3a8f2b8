import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
import numpy as np
from sese.training.process import prepare

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def touch():
    np.empty(1 << 24, np.float32)[::1024] = 1.0  # 64 MiB, one value a page

if sys.argv[1] == "kept":
    prepare(1)
touch()
before = faults()
for _ in range(5):
    touch()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_freed_memory_is_used_again_without_new_pages():
    def faults(mode):
        command = [sys.executable, "-c", ROUNDS, mode]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(made.stdout)

    assert faults("kept") < 20
    assert faults("as it is") > 100  # else there would be nothing to keep


@pytest.mark.parametrize(("threads", "expected"), [(2, 2), (0, 1)])
def test_threads_of_a_training(threads, expected):
    """0 leaves the number as it is."""
    code = (
        "import torch; from sese.training.process import prepare; torch.set_num_threads(1); "
        f"prepare({threads}); print(torch.get_num_threads())"
    )
    command = [sys.executable, "-c", code]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(made.stdout) == expected
