"""Temporary."""
import asyncio, contextlib, socket
from dataclasses import dataclass
from typing import Any
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
@dataclass
class WebState:
    reader: Any; horizons: Any; recent_users: Any; checks: Any; exposition: Any; concept_names: Any; token: Any
def create_web(state):
    async def m(_): return Response(state.exposition())
    return Starlette(routes=[Route('/metrics', m)])
@contextlib.asynccontextmanager
async def serve(app, host, port):
    s=socket.socket(); s.bind((host,port)); server=uvicorn.Server(uvicorn.Config(app,log_level='warning',lifespan='off'))
    server.install_signal_handlers=lambda: None
    server.capture_signals=contextlib.nullcontext
    t=asyncio.create_task(server.serve(sockets=[s]))
    try: yield f'http://{host}:{s.getsockname()[1]}'
    finally: server.should_exit=True; await t
