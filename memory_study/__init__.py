"""The science: one trial's data, corruption, training and measures. Imports torch; never ray, mlflow or pandas."""

import os

# Before torch is imported: Intel's matrix library otherwise picks other kernels for one small matrix than for a stack of
# them on some processors (seen on AMD's), and a trial's last bits would depend on its cohort. Measured to cost nothing.
os.environ.setdefault("MKL_CBWR", "AUTO")
