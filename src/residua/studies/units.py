"""What effects are counted in, in both languages; a study with a unit of its own writes its own `Text`."""

from residua.studies.claim import Text

NATS = Text("nats", "nat")
RATIO = Text("a ratio's logarithm", "比值的对数")
CORRELATION = Text("of a correlation", "相关系数")
COSINE = Text("of the cosine", "余弦")
ROUGHNESS = Text("roughness", "粗糙度")
GRADIENT_NORM = Text("nats of the gradient's norm", "梯度范数的对数，nat")
EIGENVALUE = Text("nats of the eigenvalue", "特征值的对数，nat")
SHARE = Text("share", "占比")
IMAGES = Text("share of the images", "占图像的比例")
TRAINING_IMAGES = Text("share of the training images", "占训练图像的比例")
TEST_IMAGES = Text("share of the test images", "占测试图像的比例")
