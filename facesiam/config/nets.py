"""The names of the nets whose trunks there are: the values of the setting `net`."""

from __future__ import annotations

from typing import Literal

Net = Literal[
    Literal["alexnet", "vgg16_bn"],
    Literal["convnext_base", "convnext_large", "convnext_small", "convnext_tiny"],
    Literal["densenet121", "densenet161", "densenet169", "densenet201"],
    Literal["efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"],
    Literal["efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7"],
    Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"],
    Literal["efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s"],
    Literal["googlenet", "inception_v3", "maxvit_t"],
    Literal["iresnet100", "iresnet18", "iresnet34", "iresnet50"],
    Literal["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"],
    Literal["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"],
    Literal["regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf"],
    Literal["regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf"],
    Literal["regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf"],
    Literal["regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf"],
    Literal["resnet101", "resnet152", "resnet18", "resnet34", "resnet50"],
    Literal["resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d"],
    Literal[
        "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"
    ],
    Literal["squeezenet1_0", "squeezenet1_1"],
    Literal["swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t"],
    Literal["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn"],
    Literal["vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"],
    Literal["wide_resnet101_2", "wide_resnet50_2"],
]
"""Trunks by their torchvision names; efficientnet_lite0 to 2 are of the extra `lite`, and iresnet
are ArcFace's."""
