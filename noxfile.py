"""What a contributor runs, in environments of their own: `nox -l` lists it. `make` does the same in .venv."""

from __future__ import annotations

import nox

PINNED = ("--constraint", "constraints.txt")
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

nox.options.sessions = ["lint", "tests-3.11"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with TVM 0.19."""
    session.install(*PINNED, ".[tvm,onnx,plots,tensorboard,wandb,mlflow,dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
def tests_apache_tvm(session: nox.Session) -> None:
    """The tests that run with today's apache-tvm."""
    session.install(*PINNED, ".[apache-tvm,xgboost,plots,dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
def tests_without_tvm(session: nox.Session) -> None:
    """The tests that need no TVM."""
    session.install(*PINNED, ".[xgboost,plots,dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    session.install(*PINNED, ".[tvm,plots,dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "-m", "mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, strictly."""
    session.install(*PINNED, ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines and branches of the package that the tests run, with TVM 0.19."""
    session.install(*PINNED, ".[tvm,onnx,plots,tensorboard,wandb,mlflow,dev]", "pytest-cov")
    session.run("python", "-m", "pytest", "--numprocesses=logical", "--cov")


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what is pinned, and the licences of what a user installs."""
    session.install(*PINNED, ".[tvm,onnx,plots,xgboost]")
    session.install("pip-audit", "pip-licenses")
    session.run("pip-audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip")
    session.run("pip-licenses", "--order=license", "--format=markdown")


@nox.session
def package(session: nox.Session) -> None:
    """A wheel and an sdist, checked."""
    session.install(*PINNED, "build", "twine")
    session.run("python", "-m", "build")
    session.run("python", "-m", "twine", "check", "--strict", "dist/*")
