"""Steps of the local runner that need all of their input before they produce output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from apache_beam import coders
from apache_beam.coders.row_coder import RowCoder
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

_GROUPED = GlobalWindows.windowed_value(
    None,
    timestamp=GlobalWindow().max_timestamp(),
    pane_info=PaneInfo(True, True, PaneInfoTiming.ON_TIME, 0, 0),
)


class Grouping:
    """GroupByKey: stores values by encoded key; values are encoded, too, to use less memory."""

    def __init__(self, collection: Any) -> None:
        coder = coder_of(collection)
        self._key_coder, self._value_coder = coder.key_coder(), coder.value_coder()
        self._values: dict[bytes, list[bytes]] = {}

    def add(self, element: Any) -> None:
        key, value = element.value
        self._values.setdefault(self._key_coder.encode(key), []).append(
            self._value_coder.encode(value)
        )

    def results(self) -> Iterator[Any]:
        for key, values in self._values.items():
            decoded = [self._value_coder.decode(value) for value in values]
            yield _GROUPED.with_value((self._key_coder.decode(key), decoded))


class Combining:
    """CombinePerKey: stores one accumulator for each key."""

    def __init__(
        self,
        collection: Any,
        function: Any,
        state: AbstractContextManager[Any],
        transfer: Callable[[Any], Any],
    ) -> None:
        """Sets up the function.

        Args:
            collection: the PCollection of keys and values.
            function: a CombineFn.
            state: attributes the function's metrics to its step.
            transfer: applied to each accumulator before it is merged, as if it were sent to another
                worker.
        """
        self._key_coder = coder_of(collection).key_coder()
        self._function = function
        self._state = state
        self._transfer = transfer
        self._accumulators: dict[bytes, Any] = {}
        with state:
            function.setup()

    def add(self, element: Any) -> None:
        key, value = element.value
        encoded = self._key_coder.encode(key)
        with self._state:
            if encoded in self._accumulators:
                accumulator = self._accumulators[encoded]
            else:
                accumulator = self._function.create_accumulator()
            self._accumulators[encoded] = self._function.add_input(accumulator, value)

    def results(self) -> Iterator[Any]:
        function = self._function
        for key, accumulator in self._accumulators.items():
            with self._state:
                compacted = self._transfer(function.compact(accumulator))
                merged = function.merge_accumulators([compacted])
                output = function.extract_output(merged)
            yield _GROUPED.with_value((self._key_coder.decode(key), output))

    def teardown(self) -> None:
        with self._state:
            self._function.teardown()


def coder_of(collection: Any) -> Any:
    """The coder that FnApiRunner uses for a PCollection."""
    coder = coders.registry.get_coder(collection.element_type)
    label = getattr(collection, "requires_deterministic_key_coder", None)
    if not label:
        return coder
    key_coder = coder.key_coder().as_deterministic_coder(label)
    if isinstance(key_coder, RowCoder):
        # FnApiRunner sends the coder as a schema, which does not record that it is deterministic:
        # so values that only pickle can encode are accepted as keys.
        key_coder = RowCoder(key_coder.schema)
    return coders.TupleCoder([key_coder, coder.value_coder()])
