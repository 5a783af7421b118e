"""Only two modules of `prodml` read YAML and text protos, and both bound their size and depth."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
BOUNDING = {"documents.py", "yaml_documents.py"}
UNBOUNDED = {"yaml.safe_load", "text_format.Parse", "text_format.Merge"}


def test_yaml_and_text_protos_are_read_within_bounds() -> None:
    for folder in ("prodml", "components"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in BOUNDING or "prodml/components/" in str(path):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute):
                    assert ast.unparse(node) not in UNBOUNDED, f"{path}:{node.lineno}"
