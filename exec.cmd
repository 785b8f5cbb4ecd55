@rem Windows has no `exec`. The scripts of package.json find this file in its place, and it runs its arguments.
@%*
