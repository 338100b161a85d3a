"""cvdemo: an interactive computer-vision laboratory in the browser."""

import os

__version__ = "0.1.0"

# Threads of torch's CPU kernels wait for one another by spinning, which starves whatever else runs on the same cores:
# with a browser on the same two, live detection ran at 6 pictures a second. Spinning only briefly gives 12 and costs a
# single run nothing; not at all gives 16 but slows a single run by half. Read once, when torch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
