"""The executor of the components that the tests beside it declare; none of them runs."""

from prodml.dsl.executor import ExecutorContext


def execute(context: ExecutorContext) -> None:
    """Does nothing."""
