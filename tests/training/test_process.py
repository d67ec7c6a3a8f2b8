import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys
import numpy as np
from sese.training.process import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def touch():
    np.empty(1 << 24, np.float32)[::1024] = 1.0  # 64 MiB, one value a page

if sys.argv[1] == "kept":
    keep_freed_memory()
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
