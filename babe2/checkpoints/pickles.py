"""Pickles looked through before torch reads them: whether all that they do is build tensors, texts, numbers and boxes.

Torch's weights-only unpickler refuses code, but not what takes all memory or all time, or kills the process: a tuple
nested 200 000 deep as the key of a dict, keys whose hashes are all alike, copies of a long list. So the instructions
are followed here, with nothing but the kinds of what they put on the stack.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Collection

from babe2.checkpoints.checkpoint import shorten_list

MOST_INSTRUCTIONS = 2**19  # the published files have about a quarter of it
DEEPEST = 16  # tuples within tuples

# What a pickle may name besides the boxes: it is all that plain tensors need. Torch itself would allow more, among it
# `bytearray`, of which a file of a hundred bytes can ask for all memory.
OF_TORCH = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.[A-Z][A-Za-z0-9]*Storage"
)
PYTHON_2 = {
    "__builtin__.dict": "builtins.dict",
    "__builtin__.list": "builtins.list",
    "__builtin__.long": "builtins.int",
}
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter")  # may be called with anything
DICTS = ("collections.OrderedDict", "collections.defaultdict")  # are called with nothing, and filled afterwards

Kind = str | int
# Besides these kinds, that of a global is its name, and that of a tuple the depth to which tuples are nested in it.
TEXT, NUMBER, VALUE, LIST, DICT, TEXTS = "text", "number", "value", "list", "dict", "tuple of texts"
KEYS = (TEXT, NUMBER, TEXTS)  # others could be chosen so that their hashes are alike
PUSHED: dict[str, Kind] = {
    "BINUNICODE": TEXT,
    "SHORT_BINSTRING": TEXT,
    "BININT": NUMBER,
    "BININT1": NUMBER,
    "BININT2": NUMBER,
    "LONG1": VALUE,  # of any size, and so no key
    "BINFLOAT": VALUE,
    "NONE": VALUE,
    "NEWTRUE": VALUE,
    "NEWFALSE": VALUE,
    "EMPTY_LIST": LIST,
    "EMPTY_DICT": DICT,
    "EMPTY_TUPLE": 0,
}


class Refusal(Exception):
    """What no checkpoint needs."""


def look_through(pickle: bytes, boxes: Collection[str]) -> None:
    """Raises Refusal where a pickle does what no checkpoint needs. `boxes`: the full names of further classes that it
    may name."""
    reader = _Reader(boxes)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        if count > MOST_INSTRUCTIONS:
            raise Refusal("it has more instructions than any checkpoint needs")
        reader.follow(opcode.name, argument)


class _Reader:
    """The stack of the unpickler, with kinds for values."""

    def __init__(self, boxes: Collection[str]) -> None:
        self.boxes = boxes
        self.stack: list[Kind] = []
        self.below: list[list[Kind]] = []  # the stacks under each mark
        self.memo: dict[int, Kind] = {}

    def follow(self, name: str, argument: object) -> None:
        if name in PUSHED:
            self.stack.append(PUSHED[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[int(str(argument))] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self._remembered(int(str(argument))))
        elif name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            items = self._pop_to_mark() if name == "TUPLE" else self._pop(int(name[-1]))
            self.stack.append(self._tuple(items))
        elif name == "GLOBAL":
            self.stack.append(self._global(str(argument).replace(" ", ".")))
        elif name == "REDUCE":
            self._call(*self._pop(2))
        elif name == "NEWOBJ":
            self._pop(2)
            self.stack.append(VALUE)
        elif name == "BINPERSID":
            self._pop(1)
            self.stack.append(VALUE)
        elif name in ("APPEND", "APPENDS"):
            self._pop(1) if name == "APPEND" else self._pop_to_mark()
        elif name in ("SETITEM", "SETITEMS"):
            self._set_items(self._pop(2) if name == "SETITEM" else self._pop_to_mark())
        elif name == "BUILD":
            if self._pop(1) != [DICT]:
                raise Refusal("it fills an object with something else than a dict")
        elif name not in ("PROTO", "STOP"):
            raise Refusal(f"it has an instruction that no checkpoint needs ({name})")

    def _pop(self, count: int) -> list[Kind]:
        if len(self.stack) < count:
            raise Refusal("its instructions take more than there is")
        popped = self.stack[-count:]
        del self.stack[-count:]
        return popped

    def _pop_to_mark(self) -> list[Kind]:
        popped, self.stack = self.stack, self.below.pop()
        return popped

    def _remembered(self, index: int) -> Kind:
        """What is under an index. A tuple is not used twice: pairs of the same pair, and so on, are endless to hash."""
        kind = self.memo[index]
        if kind == TEXTS or (isinstance(kind, int) and kind > 0):
            raise Refusal("its tuples are tied in a knot")
        return kind

    def _tuple(self, items: list[Kind]) -> Kind:
        if items and all(item == TEXT for item in items):
            return TEXTS
        depths = [item if isinstance(item, int) else 1 for item in items if item == TEXTS or isinstance(item, int)]
        depth = 1 + max(depths, default=0)
        if depth > DEEPEST:
            raise Refusal("its tuples are nested too deep")
        return depth if items else 0

    def _global(self, name: str) -> str:
        name = PYTHON_2.get(name, name)
        if name not in self.boxes and not OF_TORCH.fullmatch(name):
            raise Refusal(f"it asks for {shorten_list([name])}, which no checkpoint needs")
        return name

    def _call(self, function: Kind, arguments: Kind) -> None:
        if function in DICTS and (arguments == 0 or function == DICTS[1]):
            self.stack.append(DICT)
        elif function in TENSORS:
            self.stack.append(VALUE)
        else:
            raise Refusal(f"it calls {shorten_list([str(function)])}, which no checkpoint needs")

    def _set_items(self, items: list[Kind]) -> None:
        if not all(kind in KEYS for kind in items[::2]):
            raise Refusal("it has keys that are neither texts nor small numbers")
