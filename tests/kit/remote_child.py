"""The other end of `tests.kit.remote`: runs the code it is sent, inside Django."""

import ast
import json
import socket
import sys
import traceback
from typing import Any

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.core.serializers.json import DjangoJSONEncoder  # noqa: E402

from tests.kit import accounts  # noqa: E402


def evaluate(code: str, variables: dict[str, Any]) -> Any:
    """Run `code` with `variables`; return its last statement's value, None without one."""
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "<test>", "exec"), variables)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "<test>", "eval"), variables)
    return None


def answer(line: bytes, variables: dict[str, Any]) -> str:
    """Run one request and return its result, or its traceback, as one line of JSON."""
    request = json.loads(line)
    variables.update(request["names"])
    try:
        return json.dumps({"value": evaluate(request["code"], variables)}, cls=DjangoJSONEncoder)
    except BaseException:  # SystemExit of a management command is an answer too
        return json.dumps({"error": traceback.format_exc()})


def main(descriptor: int) -> None:
    """Serve requests until the test process closes the pipe or is gone."""
    variables: dict[str, Any] = {model.__name__: model for model in apps.get_models()}
    variables["accounts"] = accounts
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        for line in stream:
            stream.write(answer(line, variables).encode() + b"\n")
            stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
