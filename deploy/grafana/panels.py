"""The kinds of panel that the dashboard is made of, and the PromQL they have in common."""

from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, LegendDisplayMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
OF_OBJECTIVE = 'topic=~"penchant[.](clicks|comments)[.]v1"'  # as in the recording rules
FRESHNESS = f'penchant_event_to_profile_seconds{{}}{{{{topic=~"$topic", {OF_OBJECTIVE}}}}}'
FULL, HALF, THIRD, QUARTER = 24, 12, 8, 6
_STAT_HEIGHT, _HEIGHT = 5, 8


def quantile(q: float, series: str, by: str = "", window: str = "$__rate_interval") -> str:
    """The quantile ``q`` of a histogram's bucket series, one line for each value of the labels in ``by``."""
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({q}, sum by ({labels}) (rate({series}[{window}])))"


def rate(series: str, by: str = "") -> str:
    """A counter's rate, summed over workers, one line for each value of the labels in ``by``."""
    return f"sum by ({by}) (rate({series}[$__rate_interval]))" if by else f"sum(rate({series}[$__rate_interval]))"


def within_objective(window: str, by: str = "") -> str:
    """The share of events that were in their profile within a second."""
    grouped = f" by ({by})" if by else ""
    quick = FRESHNESS.format("_bucket").replace("}", ', le="1.0"}')
    return f"sum{grouped} (rate({quick}[{window}])) / sum{grouped} (rate({FRESHNESS.format('_count')}[{window}]))"


def number(
    title: str, expression: str, unit: str, description: str, steps: list[tuple[float | None, str]]
) -> stat.Panel:
    """One number, coloured by the steps: (from this value on, colour)."""
    thresholds = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(_STAT_HEIGHT)
        .span(QUARTER)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(thresholds.steps([Threshold(value=value, color=colour) for value, colour in steps]))
        .with_target(prometheus.Dataquery().expr(expression).ref_id("A").datasource(SOURCE))
    )


def lines(
    title: str, unit: str, description: str, *targets: tuple[str, str], span: int = HALF, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time: (expression, legend)."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(_HEIGHT)
        .span(span)
        .fill_opacity(30 if stacked else 8)
        .legend(common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True).placement("bottom"))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for (expression, legend), ref_id in zip(targets, ascii_uppercase, strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id).datasource(SOURCE)
        panel.with_target(query)
    return panel
