"""Networks of the Hugging Face hub that are known by a short name.

Revision and digests of their weights are not written here: ``python -m pipeline pin NAME`` asks the hub for them
once and keeps them in ``workflows/weights.lock.json``. The configurations say what the published ones are, so that
layers and sizes are known without a network; the fetched ``config.json`` is what the network is built from.
"""

from __future__ import annotations

from typing import Any

from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry
from pipeline.models.hub.families import family_of

FACTORY = "pipeline.models.hub.network:load"


def hub_entry(
    name: str,
    family: str,
    config: dict[str, Any],
    *,
    hub: str = "",
    weights: WeightSource | None = None,
    objective: str,
    title: str,
    citation: str,
    licence: str,
    parameters: int = 0,
    preprocessing: dict[str, Any] | None = None,
    stated: dict[str, Any] | None = None,
    arguments: dict[str, Any] | None = None,
) -> ModelEntry:
    """The entry of a network of one of the families.

    Parameters
    ----------
    family : model type, a key of `pipeline.models.hub.families.FAMILIES`
    config : settings that decide its depth; for a network without weights the whole configuration
    weights : in place of ``hub``, a package's: converted to the tensors of the part that is run and ``config.json``
    parameters : of the part that is run, without heads that are left out
    preprocessing : what differs from the family's
    stated : the entry's whole preprocessing in other words; what these leave out is as the family has it
    """
    of = family_of(family, f"network '{name}'")
    return ModelEntry(
        name=name,
        modalities=of.modalities,
        objective=objective,
        factory=FACTORY,
        layers=of.layers(config),
        title=title,
        citation=citation,
        licence=licence,
        preprocessing={**of.preprocessing, **(preprocessing or {})} if stated is None else stated,
        adjustable=of.adjustable,
        weights=weights,
        hub=hub,
        arguments={"family": family, "config": config, **(arguments or {})},
        rate=of.rate,
        parameters=parameters,
        twins=("random", "shuffled"),
    )


BASE = {"num_hidden_layers": 12}
STAGES_OF_50 = {"depths": [3, 4, 6, 3]}
STAGES_OF_TINY = {"depths": [3, 3, 9, 3]}
SSL = "self-supervised"

VIT_BASE = hub_entry(
    "vit-base",
    "vit",
    BASE,
    hub="google/vit-base-patch16-224",
    objective="supervised",
    title="ViT-B/16 (object recognition, ImageNet-21k then ImageNet)",
    citation="Dosovitskiy et al. 2021, ICLR",
    licence="Apache-2.0",
    parameters=85_798_656,
)
RESNET_50 = hub_entry(
    "resnet-50",
    "resnet",
    STAGES_OF_50,
    hub="microsoft/resnet-50",
    objective="supervised",
    title="ResNet-50 (object recognition, ImageNet)",
    citation="He, Zhang, Ren & Sun 2016, CVPR",
    licence="Apache-2.0",
    parameters=23_508_032,
)
CONVNEXT_TINY = hub_entry(
    "convnext-tiny",
    "convnext",
    STAGES_OF_TINY,
    hub="facebook/convnext-tiny-224",
    objective="supervised",
    title="ConvNeXt-T (object recognition, ImageNet)",
    citation="Liu et al. 2022, CVPR",
    licence="Apache-2.0",
    parameters=27_820_128,
)
DINOV2_SMALL = hub_entry(
    "dinov2-small",
    "dinov2",
    BASE,
    hub="facebook/dinov2-small",
    objective=SSL,
    title="DINOv2 ViT-S/14 (self-distillation of 142 M images)",
    citation="Oquab et al. 2024, TMLR",
    licence="Apache-2.0",
    parameters=22_056_576,
)
DINOV2_BASE = hub_entry(
    "dinov2-base",
    "dinov2",
    BASE,
    hub="facebook/dinov2-base",
    objective=SSL,
    title="DINOv2 ViT-B/14 (self-distillation of 142 M images)",
    citation="Oquab et al. 2024, TMLR",
    licence="Apache-2.0",
    parameters=86_580_480,
)
VIT_MAE_BASE = hub_entry(
    "vit-mae-base",
    "vit_mae",
    BASE,
    hub="facebook/vit-mae-base",
    objective=SSL,
    title="ViT-MAE-B/16 (masked autoencoder, ImageNet)",
    citation="He et al. 2022, CVPR",
    licence="Apache-2.0",
    parameters=85_798_656,
)
DATA2VEC_VISION_BASE = hub_entry(
    "data2vec-vision-base",
    "data2vec-vision",
    BASE,
    hub="facebook/data2vec-vision-base",
    objective=SSL,
    title="data2vec vision, base (masked latent prediction, ImageNet)",
    citation="Baevski et al. 2022, ICML",
    licence="Apache-2.0",
)
VIDEOMAE_BASE = hub_entry(
    "videomae-base",
    "videomae",
    BASE,
    hub="MCG-NJU/videomae-base",
    objective=SSL,
    title="VideoMAE-B (masked autoencoder of video, Kinetics-400)",
    citation="Tong, Song, Wang & Wang 2022, NeurIPS",
    licence="CC-BY-NC-4.0",
    parameters=86_227_200,
)
WAV2VEC2_BASE = hub_entry(
    "wav2vec2-base",
    "wav2vec2",
    BASE,
    hub="facebook/wav2vec2-base",
    objective=SSL,
    title="wav2vec 2.0, base (contrastive prediction of masked speech, LibriSpeech 960 h)",
    citation="Baevski, Zhou, Mohamed & Auli 2020, NeurIPS",
    licence="Apache-2.0",
    parameters=94_371_712,
)
WAV2VEC2_BASE_FRENCH = hub_entry(
    "wav2vec2-base-french",
    "wav2vec2",
    BASE,
    hub="LeBenchmark/wav2vec2-FR-1K-base",
    objective=SSL,
    title="wav2vec 2.0, base, French (LeBenchmark, 1,000 h of read speech)",
    citation="Evain et al. 2021, Interspeech (LeBenchmark)",
    licence="Apache-2.0",
    parameters=94_371_712,
)
WAV2VEC2_BASE_CHINESE = hub_entry(
    "wav2vec2-base-chinese",
    "wav2vec2",
    BASE,
    hub="TencentGameMate/chinese-wav2vec2-base",
    objective=SSL,
    title="wav2vec 2.0, base, Mandarin (WenetSpeech, 10,000 h of speech from the web)",
    citation="TencentGameMate 2022, chinese_speech_pretrain; Zhang et al. 2022, ICASSP (WenetSpeech)",
    licence="MIT",
    parameters=94_371_712,
)
HUBERT_BASE = hub_entry(
    "hubert-base",
    "hubert",
    BASE,
    hub="facebook/hubert-base-ls960",
    objective=SSL,
    title="HuBERT, base (prediction of masked cluster labels, LibriSpeech 960 h)",
    citation="Hsu et al. 2021, IEEE/ACM TASLP",
    licence="Apache-2.0",
    parameters=94_371_712,
)
WAVLM_BASE = hub_entry(
    "wavlm-base",
    "wavlm",
    BASE,
    hub="microsoft/wavlm-base",
    objective=SSL,
    title="WavLM, base (masked prediction and denoising, LibriSpeech 960 h)",
    citation="Chen et al. 2022, IEEE JSTSP",
    licence="MIT",
    parameters=94_381_936,
)
DATA2VEC_AUDIO_BASE = hub_entry(
    "data2vec-audio-base",
    "data2vec-audio",
    BASE,
    hub="facebook/data2vec-audio-base",
    objective=SSL,
    title="data2vec audio, base (masked latent prediction, LibriSpeech 960 h)",
    citation="Baevski et al. 2022, ICML",
    licence="Apache-2.0",
    parameters=93_164_288,
)
WHISPER_TINY = hub_entry(
    "whisper-tiny",
    "whisper",
    {"encoder_layers": 4},
    hub="openai/whisper-tiny",
    objective="supervised",
    title="Whisper-tiny encoder (speech recognition)",
    citation="Radford et al. 2022, arXiv:2212.04356",
    licence="Apache-2.0",
    parameters=8_208_384,
)
WHISPER_SMALL = hub_entry(
    "whisper-small",
    "whisper",
    {"encoder_layers": 12},
    hub="openai/whisper-small",
    objective="supervised",
    title="Whisper-small encoder (speech recognition)",
    citation="Radford et al. 2022, arXiv:2212.04356",
    licence="Apache-2.0",
    parameters=88_154_112,
)
GPT2 = hub_entry(
    "gpt2",
    "gpt2",
    {"n_layer": 12},
    hub="openai-community/gpt2",
    objective=SSL,
    title="GPT-2, 124 M (next word, WebText)",
    citation="Radford et al. 2019, OpenAI",
    licence="MIT",
    parameters=124_439_808,
)
SMOLLM2_135M_BASE = hub_entry(
    "smollm2-135m-base",
    "llama",
    {"num_hidden_layers": 30},
    hub="HuggingFaceTB/SmolLM2-135M",
    objective=SSL,
    title="SmolLM2-135M (next word, 2 T tokens)",
    citation="Ben Allal et al. 2025, arXiv:2502.02737",
    licence="Apache-2.0",
    parameters=134_515_008,
)
