"""A gRPC server that answers and does nothing else: the most that grpc.aio can reach.

python grpc_echo.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

_SERVICE, _METHOD = "tensorflow.serving.PredictionService", "Predict"
_ANSWER = b"x" * 64
"""As many bytes as a prediction of one row."""


async def answer(message: bytes, context: Any) -> bytes:
    return _ANSWER


async def main(port: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
