"""The executor of components that the tests in this directory declare but never run."""

from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    """Does nothing."""
