"""grpc: the four kinds of call. Messages are UTF-8 text, so that no generated code is needed.

It needs grpcio: build it from its folder (`minirun build FOLDER -t grpc`), and name its port h2c.
"""

import asyncio
import os
import signal

import grpc

ADDRESS = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8080')}"
SERVING = b"\x08\x01"  # a grpc.health.v1.HealthCheckResponse
PAUSE_SECONDS = 0.05


async def greet(name, context):
    """One message, one answer; nobody's greeting is an error."""
    if not name:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is empty; send a name")
    context.set_trailing_metadata((("greeted", name.decode()),))
    return b"Hello " + name + b"!"


async def count(last, context):
    """One message, a number; many answers, the numbers up to it, with a pause after each."""
    for number in range(1, int(last) + 1):
        yield str(number).encode()
        await asyncio.sleep(PAUSE_SECONDS)


async def add(numbers, context):
    """Many messages, one answer: their sum."""
    return str(sum([int(number) async for number in numbers])).encode()


async def echo(messages, context):
    """An answer to each message, while more of them come."""
    async for message in messages:
        yield message.upper()


async def check(request, context):
    """What a gRPC probe asks."""
    return SERVING


SERVICES = {
    "minirun.Sample": {
        "Greet": grpc.unary_unary_rpc_method_handler(greet),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    },
    "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(check)},
}


async def main():
    server = grpc.aio.server()
    handlers = [grpc.method_handlers_generic_handler(name, methods) for name, methods in SERVICES.items()]
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(ADDRESS)
    await server.start()
    print(f"listening on {ADDRESS}", flush=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(grace=5)


if __name__ == "__main__":
    asyncio.run(main())
