"""The executor of the components that tests in this directory declare; none of them runs."""

from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    """Does nothing."""
