"""The parts of SavedModel's messages that a scan reads, without importing TensorFlow.

Fields and numbers are those of TensorFlow 2.16 (`tensorflow/core/protobuf/saved_model.proto`,
`meta_graph.proto`, `saved_object_graph.proto` and `tensorflow/core/framework/*.proto`). The parser
skips fields that are not listed. Importing TensorFlow for its own classes takes five seconds.
"""

from __future__ import annotations

from typing import Final

from prodml.message_classes import message_classes

_MESSAGES: Final = {
    "SavedModel": "2 *meta_graphs MetaGraphDef",
    "MetaGraphDef": "1 meta_info_def MetaInfoDef; 2 graph_def GraphDef; 3 saver_def SaverDef; "
    "4 *collection_def CollectionEntry; 5 *signature_def SignatureEntry; "
    "6 *asset_file_def AssetFileDef; 7 object_graph_def SavedObjectGraph",
    "MetaInfoDef": "4 *tags string",
    "GraphDef": "1 *node NodeDef; 2 library FunctionDefLibrary",
    "NodeDef": "1 name string; 2 op string; 3 *input string; 5 *attr AttrEntry",
    "AttrEntry": "1 key string; 2 value AttrValue",
    "AttrValue": "1 list ListValue; 2 s bytes; 5 b bool; 8 tensor TensorProto; "
    "10 func NameAttrList",
    "ListValue": "2 *s bytes; 9 *func NameAttrList",
    "NameAttrList": "1 name string",
    "TensorProto": "4 tensor_content bytes; 8 *string_val bytes",
    "FunctionDefLibrary": "1 *function FunctionDef; 2 *gradient GradientDef",
    "FunctionDef": "1 signature OpDef; 3 *node_def NodeDef",
    "GradientDef": "1 function_name string; 2 gradient_func string",
    "OpDef": "1 name string; 2 *input_arg ArgDef",
    "ArgDef": "1 name string",
    "SaverDef": "1 filename_tensor_name string; 2 save_tensor_name string; "
    "3 restore_op_name string",
    "CollectionEntry": "1 key string; 2 value CollectionDef",
    "CollectionDef": "1 node_list NodeList",
    "NodeList": "1 *value string",
    "SignatureEntry": "1 key string; 2 value SignatureDef",
    "SignatureDef": "1 *inputs TensorEntry; 2 *outputs TensorEntry",
    "TensorEntry": "1 key string; 2 value TensorInfo",
    "TensorInfo": "1 name string; 4 coo_sparse CooSparse; 5 composite_tensor CompositeTensor",
    "CooSparse": "1 values_tensor_name string; 2 indices_tensor_name string; "
    "3 dense_shape_tensor_name string",
    "CompositeTensor": "2 *components TensorInfo",
    "AssetFileDef": "1 tensor_info TensorInfo; 2 filename string",
    "SavedObjectGraph": "1 *nodes SavedObject; 2 *concrete_functions FunctionEntry",
    "SavedObject": "5 asset SavedAsset",
    "SavedAsset": "1 asset_file_def_index int32",
    "FunctionEntry": "1 key string; 2 value SavedConcreteFunction",
    "SavedConcreteFunction": "2 *bound_inputs int32",
}

SavedModel: Final = message_classes("prodml.scan", _MESSAGES)["SavedModel"]
"""Message class of `saved_model.pb`."""
