"""Layers of binary networks: signs with their gradients, activations, the binary convolution, the phase switch."""

from reactnet.nn.activation import GRADIENTS as GRADIENTS
from reactnet.nn.activation import Blend as Blend
from reactnet.nn.activation import Gradient as Gradient
from reactnet.nn.activation import RPReLU as RPReLU
from reactnet.nn.activation import RSign as RSign
from reactnet.nn.activation import Sign as Sign
from reactnet.nn.binarize import approx_sign as approx_sign
from reactnet.nn.binarize import weight_sign as weight_sign
from reactnet.nn.conv import BinaryConv2d as BinaryConv2d
from reactnet.nn.gradient import gradient_state as gradient_state
from reactnet.nn.gradient import load_gradient_state as load_gradient_state
from reactnet.nn.gradient import set_gradient as set_gradient
from reactnet.nn.phase import PARTS as PARTS
from reactnet.nn.phase import binarized as binarized
from reactnet.nn.phase import set_binarize as set_binarize

__all__ = [
    "GRADIENTS",
    "PARTS",
    "BinaryConv2d",
    "Blend",
    "Gradient",
    "RPReLU",
    "RSign",
    "Sign",
    "approx_sign",
    "binarized",
    "gradient_state",
    "load_gradient_state",
    "set_binarize",
    "set_gradient",
    "weight_sign",
]
