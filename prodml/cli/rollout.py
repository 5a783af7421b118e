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
        help="gRPC address of the model server. Without it, only the model config is written, "
        "for servers that poll it.",
    ),
]
ModelName: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="Name of the model. Default: the directory's name.")
]
ModelConfig: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model-config",
        metavar="F",
        help="Model config file. Default: models.config beside the directory.",
    ),
]
Version: TypeAlias = Annotated[int | None, typer.Option("--version", help="Model version.")]
Message: TypeAlias = Annotated[
    str, typer.Option("--message", "-m", help="Reason, which is recorded.")
]
Who: TypeAlias = Annotated[
    str | None, typer.Option("--as", help="Person who decided. Default: current user and host.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", min=0, help="Maximum seconds to load a version.")
]


_LOADING_SECONDS = 120.0


@app.command("status")
def status(
    model_dir: ModelDir,
    server: Server = None,
    model: ModelName = None,
    model_config: ModelConfig = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show the versions with their labels and states, and the latest moves of labels."""
    from prodml.cli.printing import print_json, print_table, time_text
    from prodml.serving.rollouts.rollout import RolloutTarget, complete_versions, current_placement
    from prodml.serving.rollouts.rollout_journal import read_journal

    target = RolloutTarget.of(model_dir, model, model_config)
    on_disk = complete_versions(target.base_path)
    pushed = _pushed(config, on_disk)
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
            "on_disk": number in on_disk,
            "state": states.get(number, "" if server is None else "not loaded"),
            "blessed": blessings.get(number),
        }
        for number in sorted({*on_disk, *labels, *states}, reverse=True)
    ]
    if json:
        import dataclasses

        print_json({"versions": rows, "moves": [dataclasses.asdict(e) for e in journal]})
        return
    verdicts = {True: "yes", False: "no", None: "unknown"}
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
    timeout: Timeout = _LOADING_SECONDS,
) -> None:
    """Label a version, by default the newest, as canary beside the stable one.

    Requests with the label `canary` get this version; those with `stable` do not. As in TF
    Serving, requests with neither get the newest version that is loaded.
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
    timeout: Timeout = _LOADING_SECONDS,
) -> None:
    """Label the canary, or the version given by --version, as stable.

    The version that was stable stays loaded, so that a rollback takes seconds.
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
    timeout: Timeout = _LOADING_SECONDS,
) -> None:
    """Remove the canary label; without a canary, return to the previous blessed stable version.

    Needs no pipeline code, data, ML Metadata or network: the journal beside the model config
    records which versions were stable.
    """
    _move(
        RolloutOptions(model_dir, server, model, model_config, config, message, who, timeout),
        lambda rollout, author: rollout.rollback(author, version),
    )


@dataclass(frozen=True)
class RolloutOptions:
    """The options that `canary`, `promote` and `rollback` share."""

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

    from prodml.serving.rollouts.rollout import Author, Rollout, RolloutTarget, complete_versions

    target = RolloutTarget.of(options.model_dir, options.model, options.model_config)
    pushed = _pushed(options.config, complete_versions(target.base_path))
    blessings = {v: p.is_blessed for v, p in pushed.items() if p.is_blessed is not None}
    with contextlib.ExitStack() as stack:
        client: Any = None
        if options.server is not None:
            quiet_tensorflow()
            from prodml.serving.clients.grpc_client import GrpcClient

            client = stack.enter_context(GrpcClient(options.server, options.timeout))
        rollout = Rollout(target, blessings, client, options.timeout)
        entry = move(rollout, Author(options.who or _user(), options.message))
    say(f"{target.model}: {_labels_after(entry)}")
    if options.server is None:
        say(
            f"wrote {target.config_path}; a server with --model_config_file and "
            f"--model_config_file_poll_wait_seconds loads it, or update a server with --server"
        )
    _record(options.config, target, pushed)


def _labels_after(entry: JournalEntry) -> str:
    labels = [f"{label} is version {version}" for label, version in entry.after.labels.items()]
    removed = sorted(entry.before.labels.keys() - entry.after.labels.keys())
    return ", ".join(labels + [f"no {label}" for label in removed])


def _pushed(config: str | None, versions: dict[int, str]) -> dict[int, PushedVersion]:
    """Reads the versions from ML Metadata; prints a warning and returns none if that fails."""
    from prodml.config import load_config
    from prodml.errors import ProdmlError
    from prodml.releases.recorded_rollouts import pushed_versions

    try:
        store = load_config(config).existing_store()
        return pushed_versions(store, versions) if store else {}
    except ProdmlError as error:
        _warn(f"cannot read from ML Metadata which versions were blessed: {error}")
        return {}


def _record(config: str | None, target: RolloutTarget, pushed: dict[int, PushedVersion]) -> None:
    """Records the journal's entries that ML Metadata lacks, also those of earlier commands."""
    from prodml.config import load_config
    from prodml.errors import ProdmlError
    from prodml.releases.recorded_rollouts import record_rollouts
    from prodml.serving.rollouts.rollout_journal import read_journal

    try:
        loaded = load_config(config)
        store = loaded.existing_store()
        if store is None:
            where = loaded.metadata_connection
            _warn(f"not recorded in ML Metadata: no store at {where}; recorded in the journal")
            return
        record_rollouts(store, read_journal(target.config_path, target.model), pushed)
    except ProdmlError as error:
        _warn(f"recorded in the journal, not in ML Metadata; the next command retries: {error}")


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
