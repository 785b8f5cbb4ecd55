/** What the reference changes in Swagger UI. */

const none = () => () => null

/** The codes of the problems that a described answer may have. @param {any} response */
const codesOf = (response) => {
  const examples = response?.getIn(['content', 'application/problem+json', 'examples'])
  return examples ? [...examples.keys()] : []
}

/**
 * The document without the paths and components that one of its parts does not refer to.
 * @param {any} document @param {string[]} path the path of the part: a path item with one operation, or one kind of component
 */
function excerptOf({ paths, components, ...rest }, [section = '', name = '']) {
  const excerpt = { ...rest, paths: /** @type {any} */ ({}), components: /** @type {any} */ ({}) }
  if (section === 'paths') excerpt.paths[name] = paths[name]
  else excerpt.components[name] = components[name]
  const include = (/** @type {object} */ part) => {
    for (const [, kind = '', name = ''] of JSON.stringify(part).matchAll(
      /"#\/components\/(\w+)\/([^"]+)"/g,
    )) {
      excerpt.components[kind] ??= {}
      if (name in excerpt.components[kind]) continue
      excerpt.components[kind][name] = components[kind][name]
      include(components[kind][name])
    }
  }
  include(excerpt)
  return excerpt
}

/** @param {{ React: any, fn: any }} system */
export const plugins = ({ React, fn: { resolveSubtree } }) => {
  const { createContext, createElement: element, Fragment, useContext, useState } = React

  const Security = createContext([])

  /** Says what an operation needs: a sign-in, or the sign-in of an admin. */
  const Need = () => {
    const roles = useContext(Security).flatMap((/** @type {any} */ scheme) => Object.values(scheme).flat())
    return element('span', { className: 'needs-sign-in' }, roles[0] ?? 'sign-in')
  }

  /** Shows an error answer as one line with its codes, and as a whole when the reader opens it. */
  const foldedResponse = (/** @type {any} */ Original) => (/** @type {any} */ props) => {
    const [isOpen, setOpen] = useState(false)
    const codes = codesOf(props.response)
    if (codes.length === 0 || isOpen) return element(Original, props)
    return element(
      'tr',
      { className: 'response folded' },
      element('td', { className: 'response-col_status' }, props.code),
      element(
        'td',
        { className: 'response-col_description', colSpan: 2 },
        element(
          'button',
          { type: 'button', 'aria-expanded': false, onClick: () => setOpen(true) },
          codes.map((code) => element('code', { key: code }, code)),
        ),
      ),
    )
  }

  const introduction = element(
    'p',
    { className: 'intro' },
    'Open an operation and press Execute. Its example is filled in. An operation with the mark ',
    element('span', { className: 'needs-sign-in' }, 'sign-in'),
    ' needs an account, and one with the mark ',
    element('span', { className: 'needs-sign-in' }, 'admin'),
    ' the account of an admin.',
  )

  return {
    fn: {
      // With the whole document, the start of the page and each operation that opens would take a second longer.
      resolveSubtree: (
        /** @type {any} */ document,
        /** @type {string[]} */ path,
        /** @type {object} */ options,
      ) => resolveSubtree(excerptOf(document, path), path, options),
    },
    // The reader has not asked for the motion of a scroll.
    statePlugins: {
      layout: {
        wrapActions: {
          scrollToElement: () => (/** @type {Element} */ target) => target.scrollIntoView(),
        },
      },
    },
    wrapComponents: {
      // The bar at the top of the page replaces the dialog of Swagger UI, into which a reader must paste a token.
      authorizeBtn: none,
      authorizeOperationBtn: () => Need,
      OperationSummary: (/** @type {any} */ Original) => (/** @type {any} */ props) =>
        element(
          Security.Provider,
          { value: props.operationProps.get('security')?.toJS() ?? [] },
          element(Original, props),
        ),
      // All operations have one server: the origin of the page.
      schemes: none,
      ServersContainer: none,
      response: foldedResponse,
      operationLink:
        () =>
        (/** @type {any} */ { link }) =>
          element(
            'p',
            { className: 'operation-link', title: link.get('description') },
            element('code', null, link.get('operationId')),
          ),
      InfoContainer: (/** @type {any} */ Original) => (/** @type {any} */ props) =>
        element('section', { 'aria-label': 'About the API' }, element(Original, props), introduction),
      // The headings of the groups have the third level.
      operations: (/** @type {any} */ Original) => (/** @type {any} */ props) =>
        element(
          Fragment,
          null,
          element('h2', { className: 'visually-hidden' }, 'All operations'),
          element(Original, props),
        ),
      // The summary of an operation is a button, and a button must not contain a link.
      DeepLink:
        () =>
        (/** @type {{ text: string }} */ { text }) =>
          element('span', null, text),
      TextArea: (/** @type {any} */ Original) => (/** @type {any} */ props) =>
        element(Original, { 'aria-label': 'Text', ...props }),
      ExamplesSelect: (/** @type {any} */ Original) => (/** @type {any} */ props) =>
        element('label', { title: 'Example' }, element(Original, props)),
    },
  }
}
