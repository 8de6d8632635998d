# Ours: importance sampling inside boxes. proposal='attention' draws by 1 - A instead of the class's posterior.
_base_ = '../bana/bap_vgg16_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.ImportanceSamplingLoss', posterior='multinomial', balance=0.2)])
