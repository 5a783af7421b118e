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

_INVALID_REQUEST = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
_SCHEMA_HINT = " If the rows do not show the types of all features, set them with --schema."


def predict(
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Rows: a .json, .jsonl, .csv or .parquet file; - for JSON on standard input.",
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Name of the model.")] = "default",
    server: Annotated[
        str, typer.Option("--server", metavar="HOST:PORT", help="The model server.")
    ] = "localhost:8500",
    rest: Annotated[bool, typer.Option("--rest", help="Use REST instead of gRPC.")] = False,
    version: Annotated[
        int | None, typer.Option("--version", help="Model version. Default: the newest.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Label of the version, such as stable.")
    ] = None,
    signature: Annotated[
        str, typer.Option("--signature", help="Signature of the model.")
    ] = "serving_default",
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="schema.pbtxt",
            help="Schema with the features' types. Default: the types of the values.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of rows.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Rows per request.")
    ] = 1024,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for a response.")
    ] = 30.0,
    ca: Annotated[
        str | None,
        typer.Option("--tls-ca", metavar="PEM", help="Certificate authorities to trust, for TLS."),
    ] = None,
    certificate: Annotated[
        str | None, typer.Option("--tls-certificate", metavar="PEM", help="Client certificate.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--tls-key", metavar="PEM", help="Private key of the client certificate."),
    ] = None,
    json: Json = False,
) -> None:
    """Send rows to a model server, and print them with the predictions.

    If the signature accepts serialized tf.Examples, rows are sent as these; otherwise as one
    tensor per column.

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
            predictor = _Predictor(client, model, version, label, signature)
            rows = _rows(input, schema, limit, batch_size)
            predicted = [(batch, predictor.predict(first, batch)) for first, batch in rows]
    except InputDataError as error:
        raise RequestError(str(error)) from error
    except ServingError as error:
        if error.code in _INVALID_REQUEST:
            message = str(error).partition("\n")[0]
            hint = "" if schema or "Data type" not in message else _SCHEMA_HINT
            raise RequestError(message + hint) from error
        raise
    _print(predicted, as_json=json)


class _Predictor:
    """Sends rows to one signature of one model version on a server."""

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

    def predict(self, first_row: int, batch: pa.RecordBatch) -> dict[str, Any]:
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
    """Yields the rows of each request, with the number of the first row."""
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


def _print(predicted: list[tuple[pa.RecordBatch, dict[str, Any]]], *, as_json: bool) -> None:
    from prodml.cli import printing

    rows = []
    for batch, outputs in predicted:
        columns = {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)}
        for number in range(batch.num_rows):
            row = {name: _short(values[number]) for name, values in columns.items()}
            predictions = {name: _prediction(array, number) for name, array in outputs.items()}
            rows.append({"row": row, "predictions": predictions})
    if as_json:
        printing.print_json({"rows": rows})
        return
    inputs = list(dict.fromkeys(name for each in rows for name in each["row"]))
    output_names = list(dict.fromkeys(name for each in rows for name in each["predictions"]))
    printing.print_table(
        ["", *inputs, *(f"-> {name}" for name in output_names)],
        [
            (
                str(number),
                *(_text(each["row"].get(name)) for name in inputs),
                *(_text(each["predictions"][name]) for name in output_names),
            )
            for number, each in enumerate(rows, start=1)
        ],
    )


def _prediction(array: Any, number: int) -> Any:
    """Returns the value of an output for one row; the whole output if it has no value per row."""
    value = array[number] if array.ndim and len(array) > number else array
    return _short(value.tolist() if hasattr(value, "tolist") else value)


def _short(value: Any) -> Any:
    """Replaces a list of one value by the value, and bytes by text."""
    if isinstance(value, list):
        return _short(value[0]) if len(value) == 1 else [_short(each) for each in value]
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
