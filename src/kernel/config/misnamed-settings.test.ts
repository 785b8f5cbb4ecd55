import { describe, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import { loadConfig, misnamedSettingWarning } from './load-config.ts'

const warnings = (environment: Record<string, string>) =>
  loadConfig(environment, registry).misnamedSettings.map(misnamedSettingWarning)

describe('warnings about misnamed variables', () => {
  it.each([
    // Names that other programs use
    ['MONGO_URL', 'MONGODB_URI'],
    ['MONGO_URI', 'MONGODB_URI'],
    ['MONGODB_URL', 'MONGODB_URI'],
    ['MONGODB_CONNECTION_STRING', 'MONGODB_URI'],
    ['JWT_SECRET', 'JWT_PRIVATE_KEYS'],
    ['BCRYPT_ROUNDS', 'BCRYPT_COST'],
    ['SALT_ROUNDS', 'BCRYPT_COST'],
    ['ALLOWED_ORIGINS', 'CORS_ORIGINS'],
    ['DEFAULT_CURRENCY', 'CURRENCY'],
    ['TRUST_PROXY', 'TRUSTED_PROXIES'],
    ['ADMIN_USER', 'ADMIN_USERNAME'],
    ['PORTS', 'PORT'],
    // Other spellings
    ['mongodb_uri', 'MONGODB_URI'],
    ['mongodbUri', 'MONGODB_URI'],
    ['MONGODB-URI', 'MONGODB_URI'],
    ['port', 'PORT'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    // Typing errors
    ['MONOGDB_URI', 'MONGODB_URI'],
    ['MONGDB_URI', 'MONGODB_URI'],
    ['ONGODB_URI', 'MONGODB_URI'],
    ['CORS_ORIGIN', 'CORS_ORIGINS'],
    ['SERVICES', 'SERVICE'],
    ['PRODUCTS_URL', 'PRODUCT_URL'],
    ['REQEUST_TIMEOT', 'REQUEST_TIMEOUT'],
    ['DIR_DATA', 'DATA_DIR'],
    ['NODE_EVN', 'NODE_ENV'],
    ['MONGOD_BINRAY', 'MONGOD_BINARY'],
    // A prefix or a suffix
    ['TRIVET_PORT', 'PORT'],
    ['REQUEST_TIMEOUT_MS', 'REQUEST_TIMEOUT'],
    // Paths of files
    ['MONGO_URL_FILE', 'MONGODB_URI_FILE'],
    ['ADMIN_PASSWROD_FILE', 'ADMIN_PASSWORD_FILE'],
    ['ADMIN_PASSWORD_FIEL', 'ADMIN_PASSWORD_FILE'],
  ])('a warning names %s for %s', (variable, meant) => {
    expect(warnings({ [variable]: '3000' })).toEqual([
      `${variable} is not a setting; ${meant} was probably meant`,
    ])
  })

  it('a warning names the probable setting if the value shows the purpose of the variable', () => {
    expect(warnings({ DATABASE_URL: 'mongodb://db.example' })).toEqual([
      'DATABASE_URL is not a setting; MONGODB_URI was probably meant',
    ])
    expect(warnings({ DATABASE_URL: 'postgres://db.example' })).toEqual([])
  })

  it('a warning stands beside the faults of the configuration, because it may explain them', () => {
    const production = { NODE_ENV: 'production', SERVICE: 'order', MONGO_URL: 'mongodb://db.example' }
    const urls = { AUTH_URL: 'http://auth', PRODUCT_URL: 'http://product', INTERNAL_SECRET: 'x'.repeat(32) }
    expect(() => loadConfig({ ...production, ...urls }, registry)).toThrow(
      /^The configuration has 1 fault:\n {2}- MONGODB_URI is required .*\nMONGO_URL is not a setting; MONGODB_URI was/,
    )
  })
})

describe('variables without a warning', () => {
  it('a setting causes no warning as a value or a file, even if its module is not hosted', () => {
    const hosted = { SERVICE: 'order', AUTH_URL: 'http://auth', PRODUCT_URL: 'http://product' }
    expect(
      warnings({ ...hosted, BCRYPT_COST: '4', ADMIN_PASSWORD_FILE: '/none', ORDER_URL: 'http://order' }),
    ).toEqual([])
    expect(warnings({ MONGOD_BINARY: '/usr/bin/mongod', UV_THREADPOOL_SIZE: '8', NODE_ENV: 'test' })).toEqual(
      [],
    )
  })

  it('an empty variable causes no warning', () => {
    expect(warnings({ MONGO_URL: '', BCRYPT_ROUNDS: ' ' })).toEqual([])
  })

  it('the usual variables of an environment cause no warning', () => {
    const usual = [
      // Shells, terminals and desktops
      'HOME PATH PWD OLDPWD SHELL SHLVL USER USERNAME LOGNAME LANG LANGUAGE LC_ALL LC_CTYPE TERM TERM_PROGRAM',
      ' COLORTERM TZ TMPDIR TEMP TMP EDITOR VISUAL PAGER LESS DISPLAY WAYLAND_DISPLAY XAUTHORITY HOSTNAME HOSTTYPE MAIL',
      ' SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY XDG_RUNTIME_DIR XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_HOME',
      ' XDG_CACHE_HOME XDG_SESSION_TYPE DBUS_SESSION_BUS_ADDRESS GPG_AGENT_INFO LS_COLORS MANPATH INFOPATH _ SUDO_USER',
      ' WINDOWID STY TMUX TMUX_PANE VSCODE_PID VSCODE_IPC_HOOK CURSOR_TRACE_ID INIT_CWD COLUMNS LINES HISTFILE',
      // Windows
      ' APPDATA LOCALAPPDATA PROGRAMDATA ProgramFiles SystemRoot SystemDrive windir COMSPEC ComSpec PATHEXT Path',
      ' NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE OS USERPROFILE USERDOMAIN COMPUTERNAME HOMEDRIVE HOMEPATH PUBLIC',
      // Node.js and npm
      ' NODE NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_DEBUG NODE_VERSION NODE_HOME',
      ' NVM_DIR NVM_BIN YARN_VERSION VOLTA_HOME npm_command npm_config_cache npm_config_loglevel npm_config_registry',
      ' npm_config_user_agent npm_execpath npm_lifecycle_event npm_lifecycle_script npm_node_execpath npm_package_json',
      ' npm_package_name npm_package_version NPM_CONFIG_LOGLEVEL NODE_CHANNEL_FD NO_COLOR FORCE_COLOR DEBUG',
      // Continuous integration
      ' CI GITHUB_ACTIONS GITHUB_TOKEN GITHUB_SERVER_URL GITHUB_ENV GITLAB_CI CI_SERVER_HOST CI_SERVER_PORT CI_PROJECT_DIR',
      ' BUILD_ID BUILD_NUMBER JENKINS_URL RUNNER_TEMP TRAVIS CIRCLECI',
      // Containers, Kubernetes and clouds
      ' container KUBERNETES_PORT KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS',
      ' KUBERNETES_PORT_443_TCP KUBERNETES_PORT_443_TCP_ADDR POD_NAME POD_IP NAMESPACE NODE_NAME COMPOSE_PROFILES',
      ' COMPOSE_PROJECT_NAME DOCKER_HOST AUTH_SERVICE_HOST AUTH_SERVICE_PORT AUTH_PORT_3000_TCP AUTH_PORT_3000_TCP_PROTO',
      ' PRODUCT_SERVICE_HOST PRODUCT_SERVICE_PORT ORDER_SERVICE_HOST ORDER_SERVICE_PORT ORDER_SERVICE_PORT_HTTP',
      ' TRIVET_SERVICE_HOST TRIVET_SERVICE_PORT MONGODB_SERVICE_HOST MONGODB_SERVICE_PORT AWS_REGION AWS_ACCESS_KEY_ID',
      ' GOOGLE_APPLICATION_CREDENTIALS DYNO WEBSITE_HOSTNAME FLY_APP_NAME RENDER RAILWAY_ENVIRONMENT HEROKU_APP_NAME',
      // Other programs
      ' HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR PIP_INDEX_URL',
      ' REDIS_URL PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE POSTGRES_USER POSTGRES_PASSWORD MYSQL_HOST AMQP_URL SMTP_HOST',
      ' SMTP_PORT MAIL_HOST SENTRY_DSN OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT JAVA_HOME GOPATH GOROOT CARGO_HOME',
      ' RUST_LOG PYTHONPATH VIRTUAL_ENV CONDA_PREFIX PYENV_ROOT ANDROID_HOME OAUTH_URL MAKEFLAGS MAKELEVEL LD_LIBRARY_PATH',
      ' PKG_CONFIG_PATH VITEST VITEST_WORKER_ID VITEST_POOL_ID PROD DEV MODE SSR BASE_URL TEST',
    ].join('')
    const environment = Object.fromEntries(usual.split(' ').map((name) => [name, '1']))
    expect(Object.keys(environment).length).toBeGreaterThan(200)
    expect(warnings(environment)).toEqual([])
  })

  it('the port variables that Kubernetes sets for each service cause no warning', () => {
    const port = 'tcp://10.0.0.1:3000'
    const services = {
      AUTH_PORT: port,
      PRODUCT_PORT: port,
      ORDER_PORT: port,
      TRIVET_PORT: port,
      MONGO_PORT: port,
      SERVER_PORT: port,
    }
    expect(warnings(services)).toEqual([])
  })
})
