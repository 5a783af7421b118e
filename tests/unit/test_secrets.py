import dataclasses
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml import Parameter, Secret, component, pipeline
from prodml.dsl.parameters import decode, encode
from prodml.dsl.pipeline import Pipeline
from prodml.errors import ConfigError, DefinitionError, ParameterError
from prodml.secrets import redact

CANARY = "c4n4ry-in-the-mine"


class Database(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    password: Secret
    token: Secret | None = None


@dataclasses.dataclass(frozen=True)
class Endpoint:
    url: str
    token: Secret | None = None


@component
def Download(token: Parameter[Secret], endpoint: Parameter[Endpoint | None] = None) -> None: ...


@pipeline(name="downloading")
def downloading(token: Secret = Secret("env:TOKEN")) -> None:  # noqa: B008
    Download(token=token)


@pipeline(name="endpoints")
def endpoints(all: dict[str, Secret], one: Endpoint | None = None) -> None:
    Download(token=all["a"], endpoint=one)


@pytest.fixture(autouse=True)
def own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that these tests reveal are not hidden in the messages of other tests."""
    monkeypatch.setattr("prodml.secrets._revealed", {})


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CANARY_OF_TEST", CANARY)
    return "env:CANARY_OF_TEST"


def test_a_variable_is_read_when_it_is_revealed_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = Secret("env:NOT_YET_SET")
    with pytest.raises(ConfigError, match="the environment variable NOT_YET_SET is not set"):
        secret.reveal()
    monkeypatch.setenv("NOT_YET_SET", "one")
    assert secret.reveal() == "one"
    monkeypatch.setenv("NOT_YET_SET", "rotated")
    assert secret.reveal() == "rotated"


@pytest.mark.parametrize(
    ("content", "value"),
    [("x y", "x y"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x ")],
)
def test_one_newline_at_the_end_of_a_file_is_removed(
    tmp_path: Path, content: str, value: str
) -> None:
    (tmp_path / "token").write_bytes(content.encode())
    assert Secret(f"file:{tmp_path}/token").reveal() == value


def test_a_file_that_cannot_be_read_is_named_with_the_cause(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"secret file:{tmp_path}/no .*No such file"):
        Secret(f"file:{tmp_path}/no").reveal()
    with pytest.raises(ConfigError, match="Is a directory"):
        Secret(f"file:{tmp_path}").reveal()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        Secret(f"file:{tmp_path}/binary").reveal()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        Secret(f"file:{tmp_path}/empty").reveal()


@pytest.mark.parametrize(
    "value",
    [CANARY, f"env:{CANARY}", "env:", f"file:{CANARY}", f"file:/a\n{CANARY}", f"ENV:A {CANARY}"],
)
def test_a_value_that_is_not_a_reference_is_rejected_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="not the value itself") as caught:
        Secret(value)
    assert CANARY not in str(caught.value)


def test_only_the_reference_is_ever_shown(variable: str) -> None:
    secret = Secret(variable)
    secret.reveal()
    assert repr(secret) == f"Secret('{variable}')"
    assert f"{secret}" == str(secret) == variable
    database = Database(password=secret)
    assert database.model_dump_json() == f'{{"password":"{variable}","token":null}}'
    assert CANARY not in repr(database)
    assert pickle.loads(pickle.dumps(secret)) == secret
    assert CANARY.encode() not in pickle.dumps(secret)


def test_a_pydantic_model_accepts_the_reference_as_text_and_names_the_field_otherwise() -> None:
    assert Database.model_validate({"password": "env:A"}).password == Secret("env:A")
    for wrong in (CANARY, 3, None, {"env": CANARY}):
        with pytest.raises(pydantic.ValidationError) as caught:
            Database.model_validate({"password": wrong})
        (problem,) = caught.value.errors()
        assert problem["loc"] == ("password",) and CANARY not in problem["msg"]


def test_a_parameter_stores_the_reference_and_returns_the_secret() -> None:
    assert encode(Secret, Secret("env:A")) == "env:A"
    assert encode(Any, Secret("env:A")) == "env:A"
    assert encode(dict[str, Any], {"a": [Secret("env:A")]}) == {"a": ["env:A"]}
    assert decode(Secret, "env:A") == Secret("env:A")
    assert decode(Secret | None, None) is None
    endpoint = Endpoint("https://host", Secret("env:A"))
    assert encode(Endpoint, endpoint) == {"url": "https://host", "token": "env:A"}
    assert decode(Endpoint, encode(Endpoint, endpoint)) == endpoint
    assert Download(token=Secret("env:A")).parameters["token"] == "env:A"


def test_a_value_that_is_not_a_secret_and_has_no_json_form_is_rejected() -> None:
    with pytest.raises(ValueError, match="object has no JSON form"):
        encode(dict[str, Any], {"a": object()})


@pytest.mark.parametrize(
    "arguments",
    [
        {"token": CANARY},
        {"token": [CANARY]},
        {"token": "env:A", "endpoint": {"token": CANARY}},
        {"token": "env:A", "endpoint": CANARY},
        {"token": "env:A", "endpoint": Endpoint("https://host", CANARY)},  # type: ignore[arg-type]
    ],
)
def test_a_component_given_the_value_itself_does_not_show_it(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="test_secrets.py") as caught:
        Download(**arguments)
    assert CANARY not in str(caught.value)


def test_a_runtime_parameter_accepts_a_reference() -> None:
    def token(built: Pipeline) -> tuple[object, object]:
        return built.parameters["token"], built.components[0].parameters["token"]

    assert token(downloading.build()) == ("env:TOKEN", "env:TOKEN")
    given = {"token": downloading.parse("token", "env:OTHER")}
    assert token(downloading.build(given)) == ("env:OTHER", "env:OTHER")
    assert token(downloading.build({"token": "file:/t"})) == ("file:/t", "file:/t")


@pytest.mark.parametrize(
    ("name", "text"),
    [("all", f'{{"a": "{CANARY}"}}'), ("all", f'{{"a": "{CANARY}'), ("one", CANARY)],
)
def test_the_value_of_a_secret_runtime_parameter_is_not_shown(name: str, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        endpoints.parse(name, text)
    assert CANARY not in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        endpoints.build({"all": {"a": "env:A"}, name: text})
    assert CANARY not in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        downloading.parse("token", CANARY)
    assert CANARY not in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        downloading.build({"token": CANARY})
    assert CANARY not in str(caught.value)


values = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\"'\\\t"), min_size=4
).filter(lambda text: text.strip("*") and not text.endswith(("\n", "\r")))


@given(values)
def test_a_revealed_value_is_hidden_in_every_spelling(value: str) -> None:
    os.environ["VALUE_OF_TEST"] = value
    Secret("env:VALUE_OF_TEST").reveal()
    for text in (value, repr(value), json.dumps(value), str({"a": [value]})):
        assert value not in redact(f"before {text} after")
    assert repr(value)[1:-1] not in redact(repr(value))


def test_a_key_of_several_lines_is_hidden_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_TEST", "-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----")
    Secret("env:KEY_OF_TEST").reveal()
    assert redact("line 2: MIIEvQIBADANBgkq!") == "line 2: ***!"


def test_a_text_without_secrets_is_unchanged(variable: str) -> None:
    Secret(variable).reveal()
    assert redact("nothing in here") == "nothing in here"
    assert redact(f"https://user:{CANARY}@host") == "https://user:***@host"
