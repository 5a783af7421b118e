"""`prodml rollout status|canary|promote|rollback`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from prodml.cli.options import ConfigFile, Json, quiet_tensorflow
from prodml.cli.terminal import say

if TYPE_CHECKING:
    from prodml.releases.recorded_rollouts import PushedVersion
    from prodml.serving.rollouts.rollout import Author, Rollout, RolloutTarget
    from prodml.serving.rollouts.rollout_journal import JournalEntry

app = typer.Typer(
    no_args_is_help=True,
    help="Move the labels `stable` and `canary` between versions of a pushed model.",
)

ModelDir: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL_DIR", help="Directory of the model's versions.")
]
Server: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        help="gRPC address of the model server. Without it, the model config is written, and a "
        "server that polls it follows.",
    ),
]
ModelName: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="Its name; by default the directory's.")
]
ModelConfig: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model-config", metavar="F", help="By default models.config beside the directory."
    ),
]
Version: TypeAlias = Annotated[int | None, typer.Option("--version", help="The version.")]
Message: TypeAlias = Annotated[str, typer.Option("--message", "-m", help="Why; it is recorded.")]
Who: TypeAlias = Annotated[
    str | None, typer.Option("--as", help="Who asks; by default this user at this machine.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds a version may take to load.")
]


@app.command("status")
def status(
    model_dir: ModelDir,
    server: Server = None,
    model: ModelName = None,
    model_config: ModelConfig = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show which version bears which label, which answer, and who moved what when."""
    from prodml.cli.printing import print_json, print_table, time_text
    from prodml.serving.rollouts.rollout import RolloutTarget, current_placement, whole_versions
    from prodml.serving.rollouts.rollout_journal import read_journal

    target = RolloutTarget.of(model_dir, model, model_config)
    whole = whole_versions(target.base_path)
    pushed = _pushed(config, whole)
    labels = {v: label for label, v in current_placement(target).labels.items()}
    journal = read_journal(target.config_path, target.model)
    blessings = {e.version: e.is_blessed for e in journal} | {
        v: known.is_blessed for v, known in pushed.items()
    }
    states = _states(server, target.model)
    rows: list[dict[str, Any]] = [
        {
            "version": number,
            "label": labels.get(number, ""),
            "on_disk": number in whole,
            "state": states.get(number, "" if server is None else "not loaded"),
            "blessed": blessings.get(number),
        }
        for number in sorted({*whole, *labels, *states}, reverse=True)
    ]
    if json:
        import dataclasses

        print_json({"versions": rows, "moves": [dataclasses.asdict(e) for e in journal]})
        return
    verdicts = {True: "yes", False: "no", None: "not known"}
    print_table(
        ["version", "label", "on disk", *(["state"] if server else []), "blessed"],
        [
            [
                str(row["version"]),
                str(row["label"]),
                "yes" if row["on_disk"] else "no",
                *([str(row["state"])] if server else []),
                verdicts[row["blessed"]],
            ]
            for row in rows
        ],
    )
    if journal:
        say()
        print_table(
            ["when", "who", "what", "version", "why"],
            [
                [time_text(e.time), e.who, e.action, str(e.version), e.message]
                for e in journal[-10:]
            ],
        )


@app.command("canary")
def canary(
    model_dir: ModelDir,
    version: Version = None,
    server: Server = None,
    model: ModelName = None,
    model_config: ModelConfig = None,
    config: ConfigFile = None,
    message: Message = "",
    who: Who = None,
    timeout: Timeout = 120.0,
) -> None:
    """Try a version, by default the newest, beside the stable one.

    Requests that name the label `canary` get it; those that name `stable` do not. Requests that
    name neither get the newest version that is loaded, as TF Serving has it.
    """
    _move(
        RolloutOptions(model_dir, server, model, model_config, config, message, who, timeout),
        lambda rollout, author: rollout.canary(author, version),
    )


@app.command("promote")
def promote(
    model_dir: ModelDir,
    version: Version = None,
    server: Server = None,
    model: ModelName = None,
    model_config: ModelConfig = None,
    config: ConfigFile = None,
    message: Message = "",
    who: Who = None,
    timeout: Timeout = 120.0,
) -> None:
    """Make the canary, or a named version, the stable one.

    The version that was stable stays loaded, for a rollback in seconds.
    """
    _move(
        RolloutOptions(model_dir, server, model, model_config, config, message, who, timeout),
        lambda rollout, author: rollout.promote(author, version),
    )


@app.command("rollback")
def rollback(
    model_dir: ModelDir,
    version: Version = None,
    server: Server = None,
    model: ModelName = None,
    model_config: ModelConfig = None,
    config: ConfigFile = None,
    message: Message = "",
    who: Who = None,
    timeout: Timeout = 120.0,
) -> None:
    """Take the canary back; without one, return to the blessed version that was stable before.

    Needs no pipeline code, data, ML Metadata or network: the journal beside the model config
    knows what was stable.
    """
    _move(
        RolloutOptions(model_dir, server, model, model_config, config, message, who, timeout),
        lambda rollout, author: rollout.rollback(author, version),
    )


@dataclass(frozen=True)
class RolloutOptions:
    """What the three commands are told alike."""

    model_dir: str
    server: str | None
    model: str | None
    model_config: str | None
    config: str | None
    message: str
    who: str | None
    timeout: float


def _move(options: RolloutOptions, move: Callable[[Rollout, Author], JournalEntry]) -> None:
    import contextlib

    from prodml.serving.rollouts.rollout import Author, Rollout, RolloutTarget, whole_versions

    target = RolloutTarget.of(options.model_dir, options.model, options.model_config)
    pushed = _pushed(options.config, whole_versions(target.base_path))
    blessings = {v: p.is_blessed for v, p in pushed.items() if p.is_blessed is not None}
    with contextlib.ExitStack() as stack:
        client: Any = None
        if options.server is not None:
            quiet_tensorflow()
            from prodml.serving.clients.grpc_client import GrpcClient

            client = stack.enter_context(GrpcClient(options.server, options.timeout))
        rollout = Rollout(target, blessings, client, options.timeout)
        made = move(rollout, Author(options.who or _user(), options.message))
    say(f"{target.model}: {_described(made)}")
    if options.server is None:
        say(
            f"{target.config_path} says so; a server with --model_config_file and "
            f"--model_config_file_poll_wait_seconds follows, or name it with --server"
        )
    _record(options.config, target, pushed)


def _described(made: JournalEntry) -> str:
    labels = [f"{label} is version {version}" for label, version in made.after.labels.items()]
    gone = sorted(made.before.labels.keys() - made.after.labels.keys())
    return ", ".join(labels + [f"no {label}" for label in gone])


def _pushed(config: str | None, versions: dict[int, str]) -> dict[int, PushedVersion]:
    """What ML Metadata knows of the versions; nothing, and a warning, where it does not answer."""
    from prodml.config import load_config
    from prodml.errors import ProdmlError
    from prodml.releases.recorded_rollouts import pushed_versions

    try:
        store = load_config(config).existing_store()
        return pushed_versions(store, versions) if store else {}
    except ProdmlError as error:
        _warn(f"ML Metadata was not asked which versions were blessed: {error}")
        return {}


def _record(config: str | None, target: RolloutTarget, pushed: dict[int, PushedVersion]) -> None:
    """Records what the journal has and ML Metadata does not, of earlier commands too."""
    from prodml.config import load_config
    from prodml.errors import ProdmlError
    from prodml.releases.recorded_rollouts import record_rollouts
    from prodml.serving.rollouts.rollout_journal import read_journal

    try:
        loaded = load_config(config)
        store = loaded.existing_store()
        if store is None:
            where = loaded.metadata_connection
            _warn(f"not recorded in ML Metadata, which is not at {where}; the journal has it")
            return
        record_rollouts(store, read_journal(target.config_path, target.model), pushed)
    except ProdmlError as error:
        _warn(f"not recorded in ML Metadata, but in the journal; the next command tries: {error}")


def _states(server: str | None, model: str) -> dict[int, str]:
    if server is None:
        return {}
    quiet_tensorflow()
    from prodml.errors import ServingError
    from prodml.serving.clients.grpc_client import GrpcClient, State

    with GrpcClient(server) as client:
        try:
            return {v: State.Name(each.state) for v, each in client.status(model).items()}
        except ServingError as error:
            if error.code == "NOT_FOUND":
                return {}
            raise


def _user() -> str:
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def _warn(message: str) -> None:
    say(f"warning: {message}", is_error=True)
