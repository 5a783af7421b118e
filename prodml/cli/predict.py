"""`prodml predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prodml.cli.options import Json, quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from prodml.serving.clients.endpoint import Endpoint
    from prodml.serving.clients.grpc_client import GrpcClient
    from prodml.serving.clients.rest_client import RestClient

_WRONG_REQUEST = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
_NAME_A_SCHEMA = " For features of types that the rows do not show, name a --schema."


def predict(
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="Rows: a .json, .jsonl, .csv or .parquet file; - for JSON."
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Name of the model.")] = "default",
    server: Annotated[
        str, typer.Option("--server", metavar="HOST:PORT", help="The model server.")
    ] = "localhost:8500",
    rest: Annotated[
        bool, typer.Option("--rest", help="The server's port is for REST, not gRPC.")
    ] = False,
    version: Annotated[
        int | None, typer.Option("--version", help="A version; the newest by default.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="A version by its label, such as stable.")
    ] = None,
    signature: Annotated[
        str, typer.Option("--signature", help="Signature of the model.")
    ] = "serving_default",
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="schema.pbtxt",
            help="The features' types; those of the values by default.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only this many rows.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Rows a request.")] = 1024,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for an answer.")] = 30.0,
    ca: Annotated[
        str | None, typer.Option("--tls-ca", metavar="PEM", help="Authorities to trust, for TLS.")
    ] = None,
    certificate: Annotated[
        str | None, typer.Option("--tls-certificate", metavar="PEM", help="The client's own.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--tls-key", metavar="PEM", help="Key of the client's own.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask a model server about rows, and show them with the predictions.

    The rows become tf.Examples where the signature takes serialized ones, else one tensor a
    column.

    Example: prodml predict --server=localhost:8500 --model=flights --limit=5 flights.csv
    """
    from prodml.errors import InputDataError, RequestError, ServingError
    from prodml.serving.clients.endpoint import Endpoint, TlsFiles

    if version is not None and label is not None:
        raise RequestError("--version and --label exclude each other")
    tls = TlsFiles(ca, certificate, key) if ca or certificate or key else None
    endpoint = Endpoint(server, tls)
    endpoint.check()
    quiet_tensorflow()
    try:
        with _client(endpoint, rest, timeout) as client:
            asked = _Asked(client, model, version, label, signature)
            rows = _rows(input, schema, limit, batch_size)
            answered = [(batch, asked.about(first_row, batch)) for first_row, batch in rows]
    except InputDataError as error:
        raise RequestError(str(error)) from error
    except ServingError as error:
        if error.code in _WRONG_REQUEST:
            told = str(error).partition("\n")[0]
            mend = "" if schema or "Data type" not in told else _NAME_A_SCHEMA
            raise RequestError(told + mend) from error
        raise
    _print(answered, as_json=json)


class _Asked:
    """One signature of one version on a server."""

    def __init__(
        self,
        client: GrpcClient | RestClient,
        model: str,
        version: int | None,
        label: str | None,
        signature: str,
    ) -> None:
        from prodml.errors import RequestError
        from prodml.suggestions import suggest

        signatures = client.metadata(model, version, label=label)
        if signature not in signatures:
            raise RequestError(
                f"model {model!r} has no signature {signature!r}{suggest(signature, signatures)}"
            )
        self._signature = signatures[signature]
        self._client = client
        self._model = model
        self._spec: dict[str, Any] = {"version": version, "label": label, "signature": signature}

    def about(self, first_row: int, batch: pa.RecordBatch) -> dict[str, Any]:
        from prodml.serving.clients.signature_inputs import signature_inputs

        inputs = signature_inputs(self._signature, batch, first_row)
        return self._client.predict(self._model, inputs, **self._spec)


def _client(endpoint: Endpoint, rest: bool, timeout: float) -> GrpcClient | RestClient:
    if rest:
        from prodml.serving.clients.rest_client import RestClient

        return RestClient(endpoint, timeout)
    from prodml.serving.clients.grpc_client import GrpcClient

    return GrpcClient(endpoint, timeout)


def _rows(
    path: str, schema: str | None, limit: int | None, batch_size: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Rows of one request each, with the number of their first."""
    import sys

    from prodml.data.request_rows import read_request_rows, schema_types

    done = 0
    for batch in read_request_rows(path, schema_types(schema) if schema else None, sys.stdin):
        wanted = batch if limit is None else batch.slice(0, limit - done)
        for start in range(0, wanted.num_rows, batch_size):
            yield done + start + 1, wanted.slice(start, batch_size)
        done += wanted.num_rows
        if done == limit:
            return


def _print(answered: list[tuple[pa.RecordBatch, dict[str, Any]]], *, as_json: bool) -> None:
    from prodml.cli import printing

    rows = []
    for batch, outputs in answered:
        columns = {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)}
        for number in range(batch.num_rows):
            row = {name: _short(values[number]) for name, values in columns.items()}
            predicted = {name: _predicted(array, number) for name, array in outputs.items()}
            rows.append({"row": row, "predictions": predicted})
    if as_json:
        printing.print_json({"rows": rows})
        return
    inputs = list(dict.fromkeys(name for each in rows for name in each["row"]))
    outputs_named = list(dict.fromkeys(name for each in rows for name in each["predictions"]))
    printing.print_table(
        ["", *inputs, *(f"-> {name}" for name in outputs_named)],
        [
            (
                str(number),
                *(_text(each["row"].get(name)) for name in inputs),
                *(_text(each["predictions"][name]) for name in outputs_named),
            )
            for number, each in enumerate(rows, start=1)
        ],
    )


def _predicted(array: Any, number: int) -> Any:
    """What an output says of one row; all of it where it is not one answer a row."""
    value = array[number] if array.ndim and len(array) > number else array
    return _short(value.tolist() if hasattr(value, "tolist") else value)


def _short(value: Any) -> Any:
    """A list of one value as the value; bytes as text."""
    if isinstance(value, list):
        return _short(value[0]) if len(value) == 1 else [_short(each) for each in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
