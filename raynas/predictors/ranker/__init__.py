"""Predictors that rank architectures once they have seen some: one file, one predictor.

A predictor is a frozen dataclass with ``fit(architectures, keys, *, seed)``, where ``keys`` order the
architectures, the greater the better; what it gives has ``score(architectures)``, higher is better.
"""
