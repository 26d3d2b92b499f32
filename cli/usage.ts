/** What `weave help` prints: to standard error, as in the original. */
export const USAGE = `Usage:

weave --help | help
      setup
      version

weave launch      [--password <pass>] [--trusted-subnets <cidr>,...]
                  [--encryption on|off] [--host <ip_address>] [--port <port>]
                  [--name <mac>] [--nickname <nickname>]
                  [--no-restart] [--foreground] [--resume] [--no-discovery]
                  [--conn-limit <count>] [--mtu <bytes>] [--no-fastdp]
                  [--weave-bridge <name>] [--http-addr <addr>]
                  [--status-addr <addr>] [--metrics-addr <addr>]
                  [--db-prefix <path>] [--log-level=debug|info|warning|error]
                  <peer> ...

weave connect     [--replace] [<peer> ...]
      forget      <peer> ...

weave attach      [<addr> ...] [--no-multicast-route] <netns>
      detach      [<addr> ...] <netns>

weave expose      [<addr> ...] [--without-masquerade]
      hide        [<addr> ...]

weave status      [targets | connections | peers]
      report      [-f <format>]

weave stop
      reset       [--force]

where <peer>    = <ip_address_or_fqdn>[:<port>]
      <cidr>    = <ip_address>/<routing_prefix_length>
      <addr>    = [ip:]<cidr>
      <netns>   = netns:<name> | /path/of/a/network/namespace | <pid>
      <format>  = a template such as {{.Router.Name}}, or {{json .Router}}
`;
