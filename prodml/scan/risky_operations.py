"""Lists the TensorFlow operations that touch files, network or Python, and all known operations.

The list is based on the registry of TensorFlow 2.16.2: every operation with an input or attribute
that names a file, a directory, an address or code, and those whose kernels are known to open one. A
test compares the registry with this table, to find operations that a newer TensorFlow adds.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Callable
from typing import Any, Final

_TABLE: Final = {
    "reads files": """
        CSVDataset CSVDatasetV2 ExperimentalCSVDataset ExperimentalLMDBDataset
        ExperimentalMatchingFilesDataset ExperimentalSqlDataset FixedLengthRecordDataset
        FixedLengthRecordDatasetV2 FixedLengthRecordReader FixedLengthRecordReaderV2
        GenerateVocabRemapping ImmutableConst InitializeTRTResource LMDBDataset LMDBReader
        ListSnapshotChunksDataset LoadAndRemapMatrix LoadDataset MatchingFiles MatchingFilesDataset
        ReadFile RecordInput Skipgram SnapshotChunkDataset SnapshotDatasetReader
        SnapshotNestedDatasetReader SqlDataset TFRecordDataset TFRecordDatasetV2 TFRecordReader
        TFRecordReaderV2 TextLineDataset TextLineReader TextLineReaderV2 WholeFileReader
        WholeFileReaderV2""",
    "writes files": """
        CreateSummaryDbWriter CreateSummaryFileWriter DatasetToTFRecord DumpTensor
        ExperimentalDatasetToTFRecord ImportEvent SaveDataset SaveDatasetV2 SerializeTRTResource
        SnapshotDataset SnapshotDatasetV2 StatsAggregatorSetSummaryWriter WriteAudioSummary
        WriteFile WriteGraphSummary WriteHistogramSummary WriteImageSummary WriteRawProtoSummary
        WriteScalarSummary WriteSummary""",
    "uses the network": """
        CollectiveAllToAllV2 CollectiveAllToAllV3 CollectiveAssignGroupV2 CollectiveBcastRecv
        CollectiveBcastRecvV2 CollectiveBcastSend CollectiveBcastSendV2 CollectiveGather
        CollectiveGatherV2 CollectiveInitializeCommunicator CollectivePermute CollectiveReduce
        CollectiveReduceScatterV2 CollectiveReduceV2 CollectiveReduceV3
        ConfigureAndInitializeGlobalTPU ConfigureDistributedTPU DataServiceDataset
        DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 DeleteRpcFutureResource
        DistributedSave FileSystemSetConfiguration Recv RegisterDataset RegisterDatasetV2 RemoteCall
        RpcCall RpcCheckStatus RpcClient RpcGetValue RpcServer RpcServerRegister RpcServerStart Send
        _ConfigureDistributedTPU _HostRecv _HostSend _InitializeHostForDistributedTPU _Recv
        _Send""",
    "runs Python": "EagerPyFunc PyFunc PyFuncStateless",
    "runs code that is hidden from a scan": """
        DatasetFromGraph TRTEngineOp TfLiteSubgraphExecute XlaCallModule XlaCustomCall
        XlaCustomCallV2""",
    "ends the process": "Abort",
}

ALWAYS: Final = {name: danger for danger, names in _TABLE.items() for name in names.split()}
"""The danger of operations that are always dangerous, by operation."""

CHECKPOINTS: Final = {
    "DTensorRestoreV2": "reads files",
    "MergeV2Checkpoints": "writes files",
    "Restore": "reads files",
    "RestoreSlice": "reads files",
    "RestoreV2": "reads files",
    "Save": "writes files",
    "SaveSlices": "writes files",
    "SaveV2": "writes files",
}
"""Operations that are dangerous unless only the loader's own saver reaches them."""

TABLES: Final = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1}
"""Operations that read a file, harmless if it is an asset; the value is the file's input number."""


def danger_of_attributes(node: Any) -> str | None:
    """Returns the danger of a node that only some attribute values make dangerous; else None."""
    check = _BY_ATTRIBUTE.get(node.op)
    if check is None:
        return None
    return check({entry.key: entry.value for entry in node.attr})


def is_registered(operation: str) -> bool:
    """Returns whether TensorFlow itself has the operation, not a custom op library."""
    return operation in _registered()


@functools.cache
def _registered() -> frozenset[str]:
    names = importlib.resources.files(__package__).joinpath("registered_operations.txt")
    return frozenset(names.read_text(encoding="utf-8").split())


def _print_danger(attributes: dict[str, Any]) -> str | None:
    stream = _text(attributes, "output_stream")
    return "writes files" if stream.startswith("file:") else None


def _debug_danger(attributes: dict[str, Any]) -> str | None:
    urls = attributes["debug_urls"].list.s if "debug_urls" in attributes else ()
    return "sends values to files or the network" if urls else None


def _proto_danger(attributes: dict[str, Any]) -> str | None:
    source = _text(attributes, "descriptor_source")
    return None if source in ("", "local://") or source.startswith("bytes://") else "reads files"


def _sampler_danger(attributes: dict[str, Any]) -> str | None:
    return "reads files" if _text(attributes, "vocab_file") else None


def _text(attributes: dict[str, Any], name: str) -> str:
    return attributes[name].s.decode(errors="replace") if name in attributes else ""


_BY_ATTRIBUTE: Final[dict[str, Callable[[dict[str, Any]], str | None]]] = {
    "DebugIdentity": _debug_danger,
    "DebugIdentityV2": _debug_danger,
    "DebugIdentityV3": _debug_danger,
    "DebugNanCount": _debug_danger,
    "DebugNumericSummary": _debug_danger,
    "DecodeProtoV2": _proto_danger,
    "EncodeProto": _proto_danger,
    "FixedUnigramCandidateSampler": _sampler_danger,
    "PrintV2": _print_danger,
}
