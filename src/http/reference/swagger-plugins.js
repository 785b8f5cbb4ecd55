/** What the reference changes in Swagger UI. */

const none = () => () => null

/** The codes of the problems that a described answer may have. @param {any} response */
const codesOf = (response) => {
  const examples = response?.getIn(['content', 'application/problem+json', 'examples'])
  return examples ? [...examples.keys()] : []
}

/** @param {{ React: any }} system */
export const plugins = ({ React }) => {
  const { createElement: element, useState } = React

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

  return {
    wrapComponents: {
      // The bar at the top of the page replaces the dialog of Swagger UI, into which a reader must paste a token.
      authorizeBtn: none,
      authorizeOperationBtn: () => () => element('span', { className: 'needs-sign-in' }, 'sign-in'),
      // All operations have one server: the origin of the page.
      schemes: none,
      ServersContainer: none,
      response: foldedResponse,
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
