"""The science: one trial's data, corruption, training and measures. Imports torch; never ray, mlflow or pandas."""
