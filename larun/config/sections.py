"""The sections of the settings: every value with its range, its default and its meaning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """Base of the sections: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestSettings(Section):
    """How products become shards of the store."""

    shard_targets: int = Field(256, ge=1, le=4096, description="targets of one shard, the unit of work")
    chunk_targets: int = Field(16, ge=1, description="targets of one inner chunk, the unit of reading")
    min_good_cadences: int = Field(500, ge=1, description="targets with fewer good cadences are rejected")
    quality_mask: int | None = Field(
        None,
        ge=0,
        lt=2**31,
        description="quality bits that make a cadence bad; by default the mission's, as in lightkurve",
    )
    fetch_threads: int = Field(
        8,
        ge=1,
        le=64,
        description="products that one worker fetches and decodes at once, within the connections allowed",
    )
    shards_per_task: int = Field(4, ge=1, description="whole shards that one task run ingests, one after the other")
    quarantine: bool = Field(True, description="keep products that failed verification, for people to look at")


class ArchiveSettings(Section):
    """Archives on the network: where they are, and how politely they are asked."""

    order: tuple[str, ...] = Field(
        ("cloud", "mast"), min_length=1, description="archives of an ingest that names none, tried in this order"
    )
    mast_url: str = Field("https://mast.stsci.edu", description="MAST's requests and downloads")
    lists_url: str = Field("https://archive.stsci.edu", description="bulk download lists of the sectors")
    cloud_url: str = Field(
        "https://stpubdata.s3.us-east-1.amazonaws.com", description="public bucket of the TESS mission, anonymous"
    )
    mast_connections: int = Field(16, ge=1, le=100, description="connections to MAST of the whole survey at any moment")
    cloud_connections: int = Field(32, ge=1, description="connections to the public bucket of the whole survey")
    requests_per_s: float = Field(200.0, gt=0, description="requests per second to one archive of the whole survey")
    connect_timeout_s: float = Field(10.0, gt=0, description="longest wait for a connection")
    read_timeout_s: float = Field(60.0, gt=0, description="longest silence of an archive within an answer")
    attempts: int = Field(6, ge=1, description="requests for one product before it is unreachable")
    backoff_s: float = Field(0.5, gt=0, description="mean wait before the second attempt; then doubled each time")
    max_backoff_s: float = Field(60.0, gt=0, description="longest wait between two attempts")
    outage_failures: int = Field(
        12, ge=2, description="failures of an archive in a row, none between them served, that mean an outage"
    )
    patience_s: float = Field(900.0, ge=0, description="an outage that lasts longer defers the run")
    budget_host: str = Field(
        "127.0.0.1", description="address of the run under which its workers reach the request budget"
    )


class CatalogueSettings(Section):
    """Catalogues of what is known about stars, and how candidates are matched with them."""

    use: tuple[str, ...] = Field(
        ("planets", "toi", "ctoi", "tess-eb", "vsx", "tic"), description="catalogues that are kept and matched"
    )
    exoplanet_archive_url: str = Field(
        "https://exoplanetarchive.ipac.caltech.edu/TAP", description="TAP service of the NASA Exoplanet Archive"
    )
    vizier_url: str = Field("https://tapvizier.cds.unistra.fr/TAPVizieR/tap", description="TAP service of VizieR")
    exofop_url: str = Field("https://exofop.ipac.caltech.edu", description="ExoFOP, for community candidates (CTOI)")
    max_age_days: float = Field(7.0, ge=0, description="a snapshot that is older is fetched again")
    radius_arcsec: float = Field(10.0, gt=0, le=600, description="largest separation of a match by position")
    period_tolerance: float = Field(
        0.005, gt=0, lt=0.2, description="relative difference up to which two periods are the same, half or twice"
    )


class NightlySettings(Section):
    """What a night without a given sector looks for."""

    author: str = Field("spoc", description="pipeline whose new sectors are ingested")
    cadence_s: int = Field(120, ge=1, description="time between the cadences of those products, seconds")
    first_sector: int = Field(1, ge=1, description="earlier sectors are left alone")
    sectors_per_night: int = Field(1, ge=1, description="sectors that one night brings up to date, the newest first")
    lease_minutes: float = Field(
        10.0, gt=0, description="a run that has not renewed its lease for so long has lost it to the next"
    )


class SimulateSettings(Section):
    """The simulated sector."""

    stars: int = Field(512, ge=1, description="stars of the sector")
    seed: int = Field(20180725, ge=0, description="everything drawn comes from this seed")
    days: float = Field(27.883, gt=1, le=60, description="length of the sector, days")
    cadence_s: int = Field(120, ge=20, description="time between cadences, seconds")
    planet_fraction: float = Field(0.10, ge=0, le=1, description="share of stars with a transiting planet")
    binary_fraction: float = Field(0.08, ge=0, le=1, description="share of stars with an eclipsing binary")
    variable_fraction: float = Field(0.30, ge=0, le=1, description="share of stars with spots or pulsations")
    artefact_fraction: float = Field(0.08, ge=0, le=1, description="share of stars that instrument artefacts dominate")
    anomaly_fraction: float = Field(0.03, ge=0, le=1, description="share of stars with a shape of no other class")


class SearchSettings(Section):
    """Detrending and period search."""

    window_d: float = Field(1.0, gt=0, description="window of the robust detrending, days")
    cotrend: bool = Field(
        True, description="take systematics out that at least 16 stars of a shard on one CCD share, where that helps"
    )
    prewhiten: bool = Field(
        True, description="take rotation and pulsation that the trend cannot follow out before it, as sinusoids"
    )
    bin_minutes: float = Field(10.0, ge=0, description="bin of the period search, minutes; 0 for none")
    min_period_d: float = Field(0.5, gt=0, description="shortest trial period, days")
    max_period_d: float = Field(15.0, gt=0, description="longest trial period, days")
    oversampling: float = Field(3.0, gt=0, description="trial frequencies per resolved frequency (Ofir 2014)")
    max_trial_periods: int = Field(
        150_000, ge=100, description="most trial periods of several sectors of one star that are searched as one"
    )
    n_durations: int = Field(8, ge=1, le=32, description="trial durations per period")
    min_duration_h: float = Field(0.8, gt=0, description="shortest trial duration, hours")
    max_duration_h: float = Field(12.0, gt=0, description="longest trial duration, hours")
    max_duty_cycle: float = Field(0.15, gt=0, lt=0.5, description="longest duration over period")
    top_peaks: int = Field(4, ge=1, description="peaks of a star that are refined at full cadence")
    max_events: int = Field(
        3, ge=1, le=20, description="periodic events of one star: a strong one is masked and its star searched again"
    )
    quality_mask: int | None = Field(
        None, ge=0, lt=2**31, description="quality bits that hide a cadence from the search; by default the mission's"
    )


class VetSettings(Section):
    """Thresholds of the vetting flags."""

    min_transits: int = Field(2, ge=1, description="fewer set few_transits")
    min_coverage: float = Field(0.3, ge=0, le=1, description="smaller share of the period observed sets low_coverage")
    odd_even_sigma: float = Field(4.0, gt=0, description="larger difference in depth sets odd_even")
    min_odd_even_share: float = Field(
        0.03, ge=0, description="a difference of odd and even depths of a smaller share of the depth does not count"
    )
    odd_even_epoch_sigma: float = Field(6.0, gt=0, description="larger difference in mid-time sets odd_even_epoch")
    secondary_snr: float = Field(6.0, gt=0, description="larger sets secondary")
    max_occultation: float = Field(
        0.1, ge=0, le=1, description="a secondary of a smaller share of the depth may be a planet's occultation"
    )
    max_planet_radius_jupiter: float = Field(2.0, gt=0, description="larger for its star sets too_deep")
    max_planet_depth_ppm: float = Field(50_000.0, gt=0, description="deeper sets too_deep where no radius is known")
    min_shape: float = Field(0.15, ge=0, le=1, description="smaller sets v_shape")
    min_shape_snr: float = Field(15.0, ge=0, description="events below have no shape to judge")
    uniqueness_margin: float = Field(0.0, description="smaller margin over the false-alarm thresholds sets not_unique")
    searched_stars: int = Field(20_000, ge=1, description="light curves that one false alarm is allowed among")
    min_consistent_snr: float = Field(
        5.0, gt=0, description="smaller SNR with errors from the scatter among transits sets inconsistent"
    )
    max_single_event_fraction: float = Field(0.7, gt=0, le=1, description="larger sets single_dominates")
    max_gap_fraction: float = Field(0.5, ge=0, le=1, description="larger sets near_gap")
    max_dump_fraction: float = Field(0.55, ge=0, le=1, description="larger sets near_dump")
    sinusoid_ratio: float = Field(1.0, gt=0, description="larger sets sinusoid")
    max_duration_ratio: float = Field(
        2.0, gt=0, description="duration over that of the star's density; larger sets long_duration"
    )
    alias_tolerance: float = Field(0.003, gt=0, description="nearer to a period of scattered light sets period_alias")
    centroid_sigma: float = Field(5.0, gt=0, description="a shift of the centroid counts from this significance on")
    max_centroid_offset_pix: float = Field(0.3, gt=0, description="source farther from the star sets centroid_shift")
    pile_up_stars: int = Field(
        5, ge=1, description="more other stars of a sector with one epoch and period set epoch_pile_up"
    )
    max_pile_up_fraction: float = Field(
        0.5, ge=0, le=1, description="larger share of transits when many stars dim sets transit_pile_up"
    )
    match_snr: float = Field(7.0, gt=0, description="weaker events are not matched with other stars")
    min_parent_light: float = Field(
        0.5, ge=0, description="a match with a star that loses a larger multiple of the light sets ephemeris_match"
    )


class SweepSettings(Section):
    """Classification and ranking."""

    bundle: str = Field("default", description="model bundle: `default`, name, name/version or a folder")
    min_snr: float = Field(6.0, ge=0, description="candidates need this SNR")
    min_sde: float = Field(6.0, ge=0, description="candidates need this SDE")
    min_detection: float = Field(
        0.7, ge=0, le=1, description="candidates need this detection score; single transits have none"
    )
    min_joined_detection: float = Field(
        0.75, ge=0, le=1, description="the same of joined sectors, whose many trial periods raise the score of noise"
    )
    min_planet_probability: float = Field(
        0.10, ge=0, le=1, description="candidates need this probability of a planetary transit"
    )
    shards_per_task: int = Field(1, ge=1, description="whole shards that one task run sweeps")
    stitch: bool = Field(False, description="search the sectors of a star up to the swept one as one light curve, too")
    stitch_sectors: int = Field(
        13, ge=2, description="most sectors of a star that are joined: the swept one and the latest before it"
    )


class ModelSettings(Section):
    """The network that training makes."""

    name: str = Field("spectral-cnn", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the bundle")
    version: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="version of the bundle; empty for the next number, 0001 first"
    )
    architecture: Literal["spectral_cnn", "spectral_cnn_plain", "wavenet", "perceptron"] = Field(
        "spectral_cnn", description="network to train"
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="options of the architecture: residual, skip, blocks, depth, ... of wavenet; units of perceptron",
    )
    input_size: Literal[1024] = Field(1024, description="samples of a view; the view definition fixes it")
    num_classes: Literal[6] = Field(6, description="classes; the schema fixes them")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of the dense layer's units left out while training")


class DatasetSettings(Section):
    """Labelled light curves, and how their stars are split."""

    data: str = Field(
        "simulated",
        description="where they come from: `simulated`; `archives`, for stars of the catalogues; or a folder with a "
        "bank or with labels.csv and files",
    )
    planets: int = Field(200, ge=0, description="stars with planets that are fetched from the archives, at most")
    non_planets: int = Field(400, ge=0, description="other stars that are fetched or taken from the store, at most")
    missions: tuple[Literal["tess", "kepler", "k2"], ...] = Field(
        ("tess",), min_length=1, description="missions whose light curves are fetched"
    )
    segments: int = Field(
        2, ge=1, description="light curves of one star and mission that are fetched, the newest first"
    )
    archive: str = Field(
        "lightkurve", description="archives that are asked for them: lightkurve, mast, cloud or several"
    )
    use_cache: bool = Field(False, description="use what was fetched before and ask nobody")
    stars: int = Field(600, ge=12, description="stars of the simulated training sector")
    injections: int = Field(2000, ge=0, description="shapes injected into quiet light curves")
    hold_out: tuple[str, ...] = Field(
        (), description="stars that are only scored, never trained on, such as `TIC 261136679`"
    )
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="share of the stars held out to validate")
    validation_times: tuple[float, float] | None = Field(
        None,
        description="validate with the stars of light curves that begin between these times, in their own days, "
        "instead of with a share of the stars",
    )
    test_fraction: float = Field(0.15, gt=0, lt=1, description="share of the stars held out to the end")


class TrainingSettings(Section):
    """Training of the network."""

    epochs: int = Field(40, ge=0, description="passes over the training views; 0 only prepares them")
    real_weight: float = Field(
        6.0, gt=0, description="weight of a real light curve beside one with an injected or simulated shape"
    )
    batch_size: int = Field(64, ge=1, description="views per step")
    learning_rate: float = Field(2e-3, gt=0, description="learning rate, of the cosine its peak")
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        "cosine", description="learning rate over the epochs; plateau halves it where validation no longer improves"
    )
    weight_decay: float = Field(1e-3, ge=0, description="decoupled weight decay of AdamW")
    class_weights: Literal["none", "sqrt", "balanced"] = Field(
        "sqrt", description="weight of a class: one, or one over its share or the root of it"
    )
    early_stopping: bool = Field(True, description="stop where validation no longer improves")
    patience: int = Field(14, ge=1, description="epochs without a better validation before it stops")
    kfold: int = Field(
        0, ge=0, le=20, description="folds of a cross-validation by star that the model card reports beside; 0 for none"
    )
    refit: bool = Field(
        False,
        description="train once more, from the start, on the validation stars too, for as many epochs as were best",
    )
    tune: int = Field(0, ge=0, description="trials of a search for better settings before the training; 0 for none")
    pretrain_epochs: int = Field(0, ge=0, description="passes of pre-training, which needs no label; 0 for none")
    pretrain_on: Literal["views", "windows", "transits"] = Field(
        "views",
        description="contrastive on views of events, or on raw windows of quiet light curves; or marking and measuring "
        "the transits that are injected into such windows (wavenet)",
    )
    pretrain_window_d: float = Field(6.0, gt=0, description="length of a raw window, days")
    pretrain_trend: Literal["median", "polynomial", "none"] = Field(
        "median",
        description="trend that is taken out of raw windows: a running median, a polynomial over the window, or none",
    )
    pretrain_cut: Literal["sliding", "events"] = Field(
        "sliding", description="raw windows one after another, or around the transits that are injected"
    )
    start_from: str = Field("", description="bundle whose weights training goes on from; empty for random weights")
    teachers: tuple[str, ...] = Field(
        (), description="bundles that teach the network by what they say of every view; none for labels alone"
    )
    teacher_temperature: float = Field(
        2.0, gt=0, description="how much of what the teachers say about the less likely classes counts"
    )
    hard_share: float = Field(0.3, ge=0, le=1, description="weight of the labels beside the teachers")
    output: str = Field("", description="folder or s3:// address that the bundle is written to beside the root")
    seed: int = Field(1, ge=0, description="seed of everything random in training")

    @model_validator(mode="after")
    def _refit_knows_its_rate(self) -> TrainingSettings:
        if self.refit and self.schedule == "plateau":
            raise ValueError(
                "a refit has no validation that could tell a plateau; choose the schedule cosine or constant with it"
            )
        return self

    @property
    def epochs_in_all(self) -> int:
        """Epochs of the training and of its refit, at most."""
        return self.epochs * (2 if self.refit else 1)

    @field_validator("kfold")
    @classmethod
    def _enough_folds(cls, value: int) -> int:
        if 0 < value < 3:
            raise ValueError(
                "of three folds or more one is scored, one chooses the epoch and the others train; 0 is none"
            )
        return value


class AugmentationSettings(Section):
    """How far training views are varied; each variation has its own setting, 0 or no range for none."""

    enabled: bool = Field(True, description="whether views are varied at all")
    noise: float = Field(0.01, ge=0, description="standard deviation of the Gaussian noise that is added")
    measured_noise: float = Field(
        0.03, ge=0, description="standard deviation of the noise that is added to measured quantities"
    )
    shift: float = Field(
        0.1, ge=0, lt=1, description="largest shift in time: of the sector view in lengths, else in durations"
    )
    scale: tuple[float, float] = Field((0.9, 1.1), description="range of the factor of all samples")
    depth: tuple[float, float] = Field((0.8, 1.2), description="range of the factor of views in units of the depth")
    dropout: float = Field(0.05, ge=0, lt=1, description="share of the samples set to zero")
    mirror: bool = Field(True, description="reverse time in half of the views, swap odd and even in another half")
    mixup: float = Field(
        0.0, ge=0, description="alpha of mixup, which mixes pairs of views and their labels; 0 for none, 0.2 is usual"
    )

    @field_validator("scale", "depth")
    @classmethod
    def _range_around_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= 1 <= value[1]:
            raise ValueError("a range of factors has a lower end of 0 to 1 and an upper end of 1 or more")
        return value


class RunSettings(Section):
    """Where and on what a run is executed."""

    cluster: str = Field("local", description="cluster file: a name in deployments/clusters or a path to YAML")
