"""Numbers as they were printed, to stand beside ours: test errors in per cent, by depth or by the name of a variant.

A single published number is no target: five runs of one network span half a point, and six re-runs of ResNet-56
elsewhere came out 0.4 above the printed one.
"""

from residua.studies.statistics import Summary

HE_2015_TABLE_6 = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}
"""CIFAR-10, option A; of 110 the best of five (He et al. 2015, Table 6)."""
HE_2015_RESNET110 = Summary(mean=6.61, deviation=0.16, n=5)
"""All five of them (He et al. 2015, Table 6)."""
RERUNS_RESNET56 = Summary(mean=7.36, deviation=0.16, n=6)
"""ResNet-56 on CIFAR-10, trained again by others."""
RERUNS_PLAIN = ({20: 10.08, 32: 11.15, 44: 14.12, 56: 15.39}, {20: 9.90, 32: 13.04, 44: 15.55, 56: 14.74})
"""Plain networks on CIFAR-10, which He et al. 2015 draw (Fig. 6) and do not tabulate, trained twice by others."""
HE_2016_TABLE_1 = {
    "original": 6.61,
    "constant scaling 0.5": 12.35,
    "exclusive gating": 8.70,
    "shortcut-only gating, b = −6": 6.91,
    "shortcut-only gating, b = 0": 12.86,
    "1×1 convolution": 12.22,
}
"""Shortcuts, ResNet-110 on CIFAR-10 (He et al. 2016, Table 1); a spread is not printed."""
HE_2016_TABLE_2 = {
    "original": (6.61, 5.93),
    "bn_after_addition": (8.17, 6.50),
    "relu_before_addition": (7.84, 6.14),
    "relu_only_preactivation": (6.71, 5.91),
    "full_preactivation": (6.37, 5.46),
}
"""Orders, ResNet-110 and ResNet-164 on CIFAR-10 (He et al. 2016, Table 2); a spread is not printed."""
HE_2015_TABLE_2 = {"plain18": 27.94, "plain34": 28.54, "resnet18": 27.88, "resnet34": 25.03}
"""ImageNet, top-1, ten crops, option A (He et al. 2015, Table 2)."""
