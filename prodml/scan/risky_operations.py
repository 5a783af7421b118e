"""Which of TensorFlow's operations touch files, network or Python, and which are known at all.

Drawn up from the registry of TensorFlow 2.16.2: every operation with an input or attribute that
names a file, a directory, an address or code, and those whose kernels are known to open one. A test
holds the registry against this table, so that a newer TensorFlow cannot add one unseen.
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
"""Operations that are a danger wherever they stand: what each does."""

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
"""Operations that are a danger unless the loader's own saver is all that reaches them."""

TABLES: Final = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1}
"""Operations that read a file, no danger where it is an asset: the number of that input."""


def danger_of_attributes(node: Any) -> str | None:
    """What a node does that is a danger only by how its attributes are set; None for nothing."""
    judge = _BY_ATTRIBUTE.get(node.op)
    if judge is None:
        return None
    return judge({entry.key: entry.value for entry in node.attr})


def is_registered(operation: str) -> bool:
    """Whether TensorFlow itself has the operation: it is none of somebody's library."""
    return operation in _registered()


@functools.cache
def _registered() -> frozenset[str]:
    names = importlib.resources.files(__package__).joinpath("registered_operations.txt")
    return frozenset(names.read_text(encoding="utf-8").split())


def _prints(attributes: dict[str, Any]) -> str | None:
    stream = _text(attributes, "output_stream")
    return "writes files" if stream.startswith("file:") else None


def _debugs(attributes: dict[str, Any]) -> str | None:
    urls = attributes["debug_urls"].list.s if "debug_urls" in attributes else ()
    return "sends values to files or the network" if urls else None


def _decodes(attributes: dict[str, Any]) -> str | None:
    source = _text(attributes, "descriptor_source")
    return None if source in ("", "local://") or source.startswith("bytes://") else "reads files"


def _samples(attributes: dict[str, Any]) -> str | None:
    return "reads files" if _text(attributes, "vocab_file") else None


def _text(attributes: dict[str, Any], name: str) -> str:
    return attributes[name].s.decode(errors="replace") if name in attributes else ""


_BY_ATTRIBUTE: Final[dict[str, Callable[[dict[str, Any]], str | None]]] = {
    "DebugIdentity": _debugs,
    "DebugIdentityV2": _debugs,
    "DebugIdentityV3": _debugs,
    "DebugNanCount": _debugs,
    "DebugNumericSummary": _debugs,
    "DecodeProtoV2": _decodes,
    "EncodeProto": _decodes,
    "FixedUnigramCandidateSampler": _samples,
    "PrintV2": _prints,
}
