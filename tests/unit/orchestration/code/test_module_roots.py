from pathlib import Path

import pytest

from prodml.artifacts import Examples
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.config import load_config
from prodml.dsl.component import Component
from prodml.dsl.parameters import ModulePath
from prodml.dsl.pipeline import pipeline
from prodml.dsl.signature import Output, Parameter
from prodml.errors import RequestError
from prodml.orchestration.code.module_roots import require_inside, require_modules_inside
from prodml.orchestration.code.pipeline_file import load_spec


class Uses(Component):
    module_file: Parameter[ModulePath | None] = None
    made: Output[Examples]


def spec(module_file: Path | None) -> PipelineSpec:
    @pipeline(name="uses")
    def uses() -> None:
        Uses(module_file=str(module_file) if module_file else None)

    return compile_pipeline(uses.build())


@pytest.fixture
def roots(tmp_path: Path) -> list[str]:
    for name in ("team", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text("import helper\n")
        (tmp_path / name / "helper.py").write_text("raise SystemExit('was imported')\n")
    return [str(tmp_path / "team")]


def test_a_module_in_a_root_is_allowed_and_not_imported(tmp_path: Path, roots: list[str]) -> None:
    require_modules_inside(roots, spec(tmp_path / "team" / "module.py"))
    require_modules_inside(roots, spec(None))


def test_without_roots_everything_is_allowed(tmp_path: Path, roots: list[str]) -> None:
    require_modules_inside([], spec(tmp_path / "other" / "module.py"))


@pytest.mark.parametrize("way", ["other/module.py", "team/../other/module.py", "team-b/module.py"])
def test_a_module_elsewhere_is_refused(tmp_path: Path, roots: list[str], way: str) -> None:
    (tmp_path / "team-b").symlink_to(tmp_path / "other")
    with pytest.raises(RequestError, match=r"Uses: module_file /.*/other/.*\.py.* is outside"):
        require_modules_inside(roots, spec(tmp_path / way))


def test_a_link_in_a_root_that_leads_out_is_refused(tmp_path: Path, roots: list[str]) -> None:
    (tmp_path / "team" / "linked.py").symlink_to(tmp_path / "other" / "helper.py")
    with pytest.raises(RequestError, match="other/helper.py is outside of module_roots"):
        require_inside(roots, str(tmp_path / "team" / "linked.py"), "pipeline file")


def test_what_a_module_imports_counts_as_well(tmp_path: Path, roots: list[str]) -> None:
    helper = tmp_path / "team" / "helper.py"
    helper.unlink()
    helper.symlink_to(tmp_path / "other" / "helper.py")
    module = tmp_path / "team" / "module.py"
    with pytest.raises(RequestError, match=f"helper.py, imported by {module}, is outside"):
        require_inside(roots, str(module), "pipeline file")


def test_a_component_of_a_users_file_counts_as_well(tmp_path: Path, roots: list[str]) -> None:
    from prodml.dsl.user_code import load_module

    (tmp_path / "other" / "own.py").write_text(
        "from prodml import Output, component\n"
        "from prodml.artifacts import Examples\n"
        "@component\ndef Own(made: Output[Examples]): ...\n"
    )
    own = load_module(str(tmp_path / "other" / "own.py"))

    @pipeline(name="uses")
    def uses() -> None:
        own.Own()

    with pytest.raises(RequestError, match="Own: component .*own.py is outside"):
        require_modules_inside(roots, compile_pipeline(uses.build()))


def test_the_command_line_refuses_before_anything_is_imported(
    tmp_path: Path, roots: list[str]
) -> None:
    outside = tmp_path / "other" / "pipeline_file.py"
    outside.write_text("raise SystemExit('was imported')\n")
    with pytest.raises(RequestError, match="pipeline file .*pipeline_file.py is outside"):
        load_spec(str(outside), {}, module_roots=roots)
    inside = tmp_path / "team" / "pipeline_file.py"
    inside.write_text(
        "from prodml import Output, Parameter, Component, pipeline\n"
        "from prodml.artifacts import Examples\n"
        "from prodml.dsl.parameters import ModulePath\n"
        "class Uses(Component):\n"
        "    module_file: Parameter[ModulePath]\n"
        "    made: Output[Examples]\n"
        "@pipeline(name='uses')\n"
        "def uses(module_file: str):\n"
        "    Uses(module_file=module_file)\n"
    )
    (tmp_path / "team" / "executor.py").write_text("def execute(context): ...\n")
    evil = f"module_file={tmp_path}/other/module.py"
    with pytest.raises(RequestError, match="Uses: module_file .*other/module.py is outside"):
        load_spec(str(inside), {}, [evil], module_roots=roots)
    own = f"module_file={tmp_path}/team/module.py"
    assert load_spec(str(inside), {}, [own], module_roots=roots).name == "uses"


def test_the_configuration_names_the_roots(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text("module_roots: [team, shared]\n")
    assert load_config(str(tmp_path / "local.yaml"), {}).module_roots == ("team", "shared")
