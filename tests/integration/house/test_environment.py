"""The prefix `PRODML_` is only used for environment variables that set configuration keys."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = sorted(
    path for folder in ("prodml", "components", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "prodml/components/" not in str(path)
)  # fmt: skip


def test_every_variable_with_the_prefix_is_a_configuration_key() -> None:
    from prodml.config import RunConfig

    keys = {name.upper() for name in RunConfig.model_fields}
    for path in SOURCES:
        if path.name in ("test_config.py", "test_environment.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            prefix, _, rest = node.value.partition("PRODML_")
            if not prefix and rest.replace("_", "").isalnum():
                assert rest.split("__")[0] in keys, f"{path}:{node.lineno}: {node.value}"
