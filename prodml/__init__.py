"""Production machine learning pipelines on TensorFlow, Apache Beam and ML Metadata."""

from prodml.dsl.channel import Channel
from prodml.dsl.component import Component, component
from prodml.dsl.conditions import Cond
from prodml.dsl.pipeline import pipeline
from prodml.dsl.signature import Input, Output, Parameter
from prodml.secrets import Secret

__version__ = "0.1.0"

__all__ = [
    "Channel",
    "Component",
    "Cond",
    "Input",
    "Output",
    "Parameter",
    "Secret",
    "component",
    "pipeline",
]
