"""`tvm-gnn-cost workloads`: what can be named on the command line."""

from __future__ import annotations

import click


@click.command(short_help="List the workloads and networks that can be tuned.")
def workloads() -> None:
    """List every workload with its arguments, and every network.

    An argument in [brackets] has a default. Capital names are the configurations of the Ansor paper; their argument is
    the number of a shape.
    """
    from tvm_gnn_cost.networks import network_names
    from tvm_gnn_cost.workloads import workload_signatures

    signatures = workload_signatures()
    width = max(map(len, signatures))
    click.echo("Workloads:")
    for name, signature in signatures.items():
        click.echo(f"  {name:<{width}}  {signature}")
    click.echo("\nNetworks (--network):")
    click.echo("  " + ", ".join(network_names()))
