from prodml import Cond, pipeline
from prodml.artifacts import Model
from prodml.compiler.compile import compile_pipeline
from prodml.compiler.unread_verdicts import unread_verdicts
from prodml.components import Importer, InfraValidator, PushDestination, Pusher


def warnings(is_wired: bool = False, is_condition: bool = False, pushes: bool = True) -> list[str]:
    def body() -> None:
        model = Importer(source_uri="there", artifact_type=Model).outputs["result"]
        blessing = InfraValidator(model=model).outputs["blessing"]
        if not pushes:
            return
        wired = {"infra_blessing": blessing} if is_wired else {}
        destination = PushDestination(PushDestination.Filesystem("serving"))
        if is_condition:
            with Cond(blessing.future()[0].custom_property("blessed") == 1):
                Pusher(model=model, push_destination=destination)
        else:
            Pusher(model=model, push_destination=destination, **wired)

    return list(unread_verdicts(compile_pipeline(pipeline(name="p")(body).build())))


def test_an_unread_blessing_that_a_pusher_could_read_is_reported() -> None:
    [warning] = warnings()
    assert "no node reads InfraValidator.blessing" in warning
    assert "pass it to Pusher as infra_blessing" in warning


def test_a_blessing_that_a_node_or_condition_reads_is_not_reported() -> None:
    assert warnings(is_wired=True) == []
    assert warnings(is_condition=True) == []


def test_a_blessing_that_no_node_could_read_is_not_reported() -> None:
    assert warnings(pushes=False) == []
