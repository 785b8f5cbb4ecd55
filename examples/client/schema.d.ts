// Generated from docs/openapi.json by `npm run openapi`. Do not edit.

export interface paths {
    "/register": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Register an account
         * @description The new account is a customer. Sign in afterwards to get tokens.
         */
        post: operations["registerAccount"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sign in with an e-mail address or a username
         * @description An unknown account and a wrong password get the same answer. The examples have the credentials of the demo customer.
         */
        post: operations["signIn"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/token/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Refresh an access token
         * @description Each refresh token works once. Within 10 s of its use, a client whose answer was lost can send it again and gets a valid pair. If it is sent again later, it is refused, and all refresh tokens of the same sign-in are revoked.
         */
        post: operations["refreshTokens"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sign out
         * @description Revokes all refresh tokens of the same sign-in. Access tokens stay valid until they expire. The answer is the same for an unknown token.
         */
        post: operations["signOut"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/profile": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read your account
         * @description The answer is the account that the access token belongs to.
         */
        get: operations["getProfile"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/profile/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Change your password
         * @description Revokes all refresh tokens of the account. Access tokens stay valid until they expire. The new password may be the current one, as in the example, which keeps the password of the demo customer.
         */
        put: operations["changePassword"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read the public keys that verify access tokens */
        get: operations["listPublicKeys"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List products
         * @description Deleted products are not listed. All filters can be combined with each other and with every `sort`. A cursor is valid only with the filters and the `sort` that it was made with. The server filters a limited number of products for a page, so that a page may be shorter than `limit`, or empty, although more products follow. Only a `nextCursor` of null means the end of the list.
         */
        get: operations["listProducts"];
        put?: never;
        /**
         * Create a product
         * @description Only an admin may create a product. With an Idempotency-Key, a request that is sent again creates no second product. A key that was used for a stock change cannot be used here.
         */
        post: operations["createProduct"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products/create_product": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Create a product (alias)
         * @description An alias of `POST /products`, with the same requests and answers.
         */
        post: operations["createProductAlias"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a product
         * @description Reading needs no account. A deleted product is answered 404.
         */
        get: operations["getProduct"];
        /**
         * Update a product
         * @description Only an admin may update a product. The request names the version that the update is based on, as `version` in the body or as an entity tag in If-Match. If-Match must name the current version. With `version`, an update that sets `stock` is refused if the product has changed in any way since that version. An update that does not set `stock` is refused only if the name, the description or the price has changed since that version.
         */
        put: operations["updateProduct"];
        post?: never;
        /**
         * Delete a product
         * @description Only an admin may delete a product. Clients can then no longer read or order the product. Existing orders keep their copy of its name and price, and can still be cancelled.
         */
        delete: operations["deleteProduct"];
        options?: never;
        head?: never;
        /**
         * Update a product (PATCH)
         * @description Does what `PUT` does, with the same body. The body may also be sent as a merge patch (RFC 7396). No field of a product can be removed, so that `null` is refused. To remove the description, send an empty string.
         */
        patch: operations["patchProduct"];
        trace?: never;
    };
    "/products/{id}/stock": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the changes to the stock of a product, newest first
         * @description Only an admin may read this list, the stock ledger. It has every change by an admin or by the program itself. It does not have the stock that orders reserve and release, so that the `stock` of two entries can differ by more than their `change`. The list of a deleted product can still be read.
         */
        get: operations["listStockChanges"];
        put?: never;
        /**
         * Change the stock of a product
         * @description Only an admin may change the stock. A change is added to the stock, or subtracted from it if it is negative. It needs no version, because two changes at the same time both count. The stock ledger keeps each change with its time, its reason and the admin.
         */
        post: operations["changeStock"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/orders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List orders
         * @description A customer gets their own orders. An admin gets the orders of all users. Rejected orders are listed only if `status` asks for them.
         *
         *     All filters can be combined. A cursor is valid only with the filters and the `sort` that it was made with. The server looks at a limited number of orders for a page, so that a page with the filter `status` may be shorter than `limit`, or empty, although more orders follow. Only a `nextCursor` of null means the end of the list.
         *
         *     **Follow changes.** With `sort=updated`, a program can follow all changes without missing one:
         *
         *     1. Read the list to its end, page by page, until `nextCursor` is null. A page may have fewer orders than `limit`, or none.
         *     2. Keep the `updatedAt` of the last order in the list. If the list was empty, keep the time that you had.
         *     3. Wait, read the list again with `updatedAfter` set to that time, and continue with step 2.
         *
         *     An order that changes several times may appear once, with its last change, or several times; `version` tells which state is newer. The list shows a change about half a minute after it was made, because until then an earlier change can still arrive (26 s with the default `REQUEST_TIMEOUT`, and up to 11 s more in a shop without traffic). `pending` and `rejected` orders are not listed with `sort=updated`, so that an order first appears when it is confirmed or cancelled. With `status`, an order is listed only while it has one of these statuses.
         */
        get: operations["listOrders"];
        put?: never;
        /**
         * Place an order
         * @description The order takes the stock of all its lines, or of none. If the stock does not suffice for a line, the answer is 409 `insufficient_stock`. Send an Idempotency-Key with every order: without it, a request that is sent again places a second order. If the outcome is not known in time, the answer is 503 with `orderId`. A retry with the same Idempotency-Key continues that order.
         */
        post: operations["placeOrder"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/orders/create_order": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Place an order (alias)
         * @description An alias of `POST /orders`, with the same requests and answers.
         */
        post: operations["placeOrderAlias"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/orders/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read an order
         * @description The owner of the order and an admin may read it. The order of another user is answered 404, as if it did not exist.
         */
        get: operations["getOrder"];
        /**
         * Ship, deliver or cancel an order
         * @description A confirmed order can be shipped, and then delivered. An order can be cancelled until it is shipped. The owner of an order may only cancel it. An admin may take all these steps. If the status does not allow the step, the answer is 409, and `allowed` lists the possible steps.
         */
        put: operations["updateOrder"];
        post?: never;
        /**
         * Cancel an order
         * @description An order can be cancelled until it is shipped. Its stock is released. Cancelling a cancelled order changes nothing, and is answered 200.
         */
        delete: operations["cancelOrder"];
        options?: never;
        head?: never;
        /**
         * Ship, deliver or cancel an order (PATCH)
         * @description Does what `PUT` does, with the same body. The body may also be sent as a merge patch (RFC 7396). The status cannot be removed, so that `null` is refused.
         */
        patch: operations["patchOrder"];
        trace?: never;
    };
    "/orders/{id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the statuses that an order has had, oldest first
         * @description The owner of the order and an admin may read this list. The first entry is `pending`, at the time of the order and by its owner. The last entry is the current status.
         */
        get: operations["listOrderHistory"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Check liveness */
        get: operations["checkLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check readiness
         * @description The process is ready if it has started, has applied its migrations, and is not draining. It does not depend on other services: `unavailable` names those that do not answer. While a database does not answer, the process stays ready for 30 s, and `unavailable` names the database too. If the answer is 503, `missing` lists what the process lacks. A database is missing after 30 s without an answer, or at once if the server cannot be used.
         */
        get: operations["checkReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Find the documentation
         * @description People get a page, and programs get JSON. The header `Accept` selects one of them.
         */
        get: operations["getRoot"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read this document */
        get: operations["getOpenApiDocument"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read the API reference */
        get: operations["getReference"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the problems
         * @description People get a page, and programs get JSON. The header `Accept` selects one of them.
         */
        get: operations["listProblems"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems/{code}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Explain a problem
         * @description The path is the `type` of the problem. People get a page, and programs get JSON. The header `Accept` selects one of them.
         */
        get: operations["getProblem"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        User: {
            /** @description The server sets it, and it never changes. */
            userId: string;
            username: string;
            email: string;
            role: components["schemas"]["Role"];
            /** Format: date-time */
            createdAt: string;
        };
        /**
         * @description A new account is a `customer`. Only an operator can make it an `admin`.
         * @enum {string}
         */
        Role: "customer" | "admin";
        BadRequestProblem: components["schemas"]["ValidationFailedProblem"] | components["schemas"]["MalformedJsonProblem"];
        /** @description A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. */
        ValidationFailedProblem: {
            /** @constant */
            type: "/problems/validation_failed";
            title: string;
            /** @constant */
            status: 400;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "validation_failed";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            errors: components["schemas"]["Fault"][];
            /** @description The number of faults. Present if there are more than the listed ones. */
            errorCount?: number;
        };
        Fault: components["schemas"]["BodyFault"] | components["schemas"]["ParameterFault"];
        BodyFault: {
            /** @description A JSON pointer (RFC 6901) into the body. */
            pointer: string;
            code: components["schemas"]["FaultCode"];
            /** @description What would be right. The text may change. */
            message: string;
        };
        /**
         * @description What is wrong with a part of the input. The codes are stable. `required`: it is missing. `type`: it has another type. `min`, `max`: a number, a length or a count is too small or too large. `format`: a text does not have the required form, or is none of the listed values. `unknown`: there is no such field or parameter. `repeated`: it occurs again. `rule`: a rule about several fields, or about the resource, does not hold.
         * @enum {string}
         */
        FaultCode: "required" | "type" | "min" | "max" | "format" | "unknown" | "repeated" | "rule";
        ParameterFault: {
            /** @description The name of a path, query or header parameter. */
            parameter: string;
            code: components["schemas"]["FaultCode"];
            /** @description What would be right. The text may change. */
            message: string;
        };
        /** @description The body is not JSON, or not UTF-8. */
        MalformedJsonProblem: {
            /** @constant */
            type: "/problems/malformed_json";
            title: string;
            /** @constant */
            status: 400;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "malformed_json";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The request, or its body, took too long to arrive. The connection is closed. */
        RequestTimeoutProblem: {
            /** @constant */
            type: "/problems/request_timeout";
            title: string;
            /** @constant */
            status: 408;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "request_timeout";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
        };
        /** @description An account has this e-mail address. Case does not matter. */
        EmailTakenProblem: {
            /** @constant */
            type: "/problems/email_taken";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "email_taken";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description An account has this username. Case does not matter. */
        UsernameTakenProblem: {
            /** @constant */
            type: "/problems/username_taken";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "username_taken";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The body has more than 1 MiB. */
        BodyTooLargeProblem: {
            /** @constant */
            type: "/problems/body_too_large";
            title: string;
            /** @constant */
            status: 413;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "body_too_large";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The body is not declared as JSON in UTF-8, or it is compressed. */
        UnsupportedMediaTypeProblem: {
            /** @constant */
            type: "/problems/unsupported_media_type";
            title: string;
            /** @constant */
            status: 415;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "unsupported_media_type";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description There were too many failed sign-ins for an account or from an address, or too many registrations. `RateLimit-Policy` has the limits. */
        RateLimitedProblem: {
            /** @constant */
            type: "/problems/rate_limited";
            title: string;
            /** @constant */
            status: 429;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "rate_limited";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
        };
        /** @description The request line and the header fields have more than 16 KiB together. */
        HeadersTooLargeProblem: {
            /** @constant */
            type: "/problems/headers_too_large";
            title: string;
            /** @constant */
            status: 431;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "headers_too_large";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The program has a defect. The log has the error under the `requestId`. */
        InternalErrorProblem: {
            /** @constant */
            type: "/problems/internal_error";
            title: string;
            /** @constant */
            status: 500;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "internal_error";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        ServiceUnavailableProblem: components["schemas"]["DependencyUnavailableProblem"] | components["schemas"]["OverloadedProblem"];
        /** @description The database or another service did not answer in time. A write may have taken effect. */
        DependencyUnavailableProblem: {
            /** @constant */
            type: "/problems/dependency_unavailable";
            title: string;
            /** @constant */
            status: 503;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "dependency_unavailable";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
        };
        /** @description Too many requests are waiting. */
        OverloadedProblem: {
            /** @constant */
            type: "/problems/overloaded";
            title: string;
            /** @constant */
            status: 503;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "overloaded";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
        };
        /** @description The path does not exist. */
        RouteNotFoundProblem: {
            /** @constant */
            type: "/problems/route_not_found";
            title: string;
            /** @constant */
            status: 404;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "route_not_found";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The path does not have this method. `Allow` and `allowed` list its methods. */
        MethodNotAllowedProblem: {
            /** @constant */
            type: "/problems/method_not_allowed";
            title: string;
            /** @constant */
            status: 405;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "method_not_allowed";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            allowed: string[];
        };
        AccountDraft: {
            username: string;
            /** @description An e-mail address, with an international domain in its ASCII form. */
            email: string;
            /**
             * Format: password
             * @description At least 8 characters, and at most 72 bytes of UTF-8. Common passwords, repeated blocks, sequences and the names of the account are refused.
             */
            password: string;
        };
        Tokens: {
            /** @description A JWT, signed with EdDSA. Send it as `Authorization: Bearer <accessToken>`. Verify it with the keys of `/.well-known/jwks.json`. */
            accessToken: string;
            /** @enum {string} */
            tokenType: "Bearer";
            /**
             * Format: int32
             * @description The lifetime of the access token in seconds.
             */
            expiresIn: number;
            /** @description An opaque token. It can be exchanged once for a new pair of tokens. */
            refreshToken: string;
        };
        /** @description There is no account with this name and password. */
        InvalidCredentialsProblem: {
            /** @constant */
            type: "/problems/invalid_credentials";
            title: string;
            /** @constant */
            status: 401;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "invalid_credentials";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The body has either the e-mail address or the username of the account, and not both. */
        SignIn: components["schemas"]["SignInWithEmail"] | components["schemas"]["SignInWithUsername"];
        SignInWithEmail: {
            email: string;
            /** Format: password */
            password: string;
        };
        SignInWithUsername: {
            username: string;
            /** Format: password */
            password: string;
        };
        /** @description The access token is damaged, is not for this API, or its account no longer exists; or the refresh token is unknown, spent or expired. */
        InvalidTokenProblem: {
            /** @constant */
            type: "/problems/invalid_token";
            title: string;
            /** @constant */
            status: 401;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "invalid_token";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        TokenRefresh: {
            /**
             * Format: password
             * @description The `refreshToken` of the last sign-in or refresh.
             */
            refreshToken: string;
        };
        SignOut: {
            /**
             * Format: password
             * @description The `refreshToken` of the last sign-in or refresh.
             */
            refreshToken: string;
        };
        UnauthorizedProblem: components["schemas"]["UnauthenticatedProblem"] | components["schemas"]["InvalidTokenProblem"] | components["schemas"]["TokenExpiredProblem"];
        /** @description The request has no access token. */
        UnauthenticatedProblem: {
            /** @constant */
            type: "/problems/unauthenticated";
            title: string;
            /** @constant */
            status: 401;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "unauthenticated";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The access token has expired. */
        TokenExpiredProblem: {
            /** @constant */
            type: "/problems/token_expired";
            title: string;
            /** @constant */
            status: 401;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "token_expired";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description `currentPassword` is not the password of the account. The access token is valid, so that refreshing it does not help. */
        WrongPasswordProblem: {
            /** @constant */
            type: "/problems/wrong_password";
            title: string;
            /** @constant */
            status: 422;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "wrong_password";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        PasswordChange: {
            /** Format: password */
            currentPassword: string;
            /**
             * Format: password
             * @description At least 8 characters, and at most 72 bytes of UTF-8. Common passwords, repeated blocks, sequences and the names of the account are refused.
             */
            newPassword: string;
        };
        /** @description A JWK Set (RFC 7517). */
        KeySet: {
            keys: components["schemas"]["PublicKey"][];
        };
        /** @description A public Ed25519 key as a JWK (RFC 8037). */
        PublicKey: {
            /** @enum {string} */
            kty: "OKP";
            /** @enum {string} */
            crv: "Ed25519";
            /** @enum {string} */
            alg: "EdDSA";
            /** @enum {string} */
            use: "sig";
            kid: string;
            x: string;
        };
        Product: {
            /** @description The server sets it, and it never changes. */
            productId: string;
            name: string;
            /** @description Empty if the product has none. */
            description: string;
            /**
             * Format: double
             * @description The price of one piece, a decimal amount with at most two decimal places.
             */
            price: number;
            /** @description The currency of the amounts (ISO 4217). The server sets it. */
            currency: string;
            /**
             * Format: int32
             * @description The quantity that can still be ordered.
             */
            stock: number;
            /**
             * Format: int64
             * @description The version grows with every change, including changes of the stock. The ETag contains it.
             */
            version: number;
            /** Format: date-time */
            createdAt: string;
            /**
             * Format: date-time
             * @description The time of the last change, including changes of the stock.
             */
            updatedAt: string;
        };
        /** @description The role of the user does not allow this. */
        ForbiddenProblem: {
            /** @constant */
            type: "/problems/forbidden";
            title: string;
            /** @constant */
            status: 403;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "forbidden";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The `Idempotency-Key` was used for another request. */
        IdempotencyKeyReusedProblem: {
            /** @constant */
            type: "/problems/idempotency_key_reused";
            title: string;
            /** @constant */
            status: 422;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "idempotency_key_reused";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        ProductDraft: {
            /** @description At least one character must be visible. */
            name: string;
            /** @default  */
            description: string;
            /**
             * Format: double
             * @description A decimal amount with at most two decimal places. A third one is refused.
             */
            price: number;
            /**
             * Format: int32
             * @description The quantity that can be ordered.
             */
            stock: number;
        };
        ProductPage: {
            data: components["schemas"]["Product"][];
            /** @description The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one. */
            nextCursor: string | null;
        };
        /**
         * @description `newest`: the newest product comes first. `price`: the lowest price comes first. `-price`: the highest price comes first. `name`: by name, without regard to case. Products with equal prices or names are ordered by id. The default is `newest`. With `q`, the default is the best match first.
         * @enum {string}
         */
        ProductSort: "newest" | "price" | "-price" | "name";
        /** @description The product does not exist, or was deleted. */
        ProductNotFoundProblem: {
            /** @constant */
            type: "/problems/product_not_found";
            title: string;
            /** @constant */
            status: 404;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "product_not_found";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The resource has changed since the `version` that the update names. `current` is its current state. */
        ProductVersionConflictProblem: {
            /** @constant */
            type: "/problems/version_conflict";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "version_conflict";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            currentVersion: number;
            current: components["schemas"]["Product"];
        };
        /** @description `If-Match` names another version than the current one, or `If-None-Match` names the current one. */
        PreconditionFailedProblem: {
            /** @constant */
            type: "/problems/precondition_failed";
            title: string;
            /** @constant */
            status: 412;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "precondition_failed";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description The update does not say which version it is based on. */
        PreconditionRequiredProblem: {
            /** @constant */
            type: "/problems/precondition_required";
            title: string;
            /** @constant */
            status: 428;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "precondition_required";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        /** @description Has at least one of `name`, `description`, `price`, `stock`. Fields that are left out stay as they are. */
        ProductUpdate: {
            /** @description At least one character must be visible. */
            name?: string;
            description?: string;
            /**
             * Format: double
             * @description A decimal amount with at most two decimal places. A third one is refused.
             */
            price?: number;
            /**
             * Format: int32
             * @description The quantity that can be ordered.
             */
            stock?: number;
            /**
             * Format: int64
             * @description The version that the update is based on. Required unless the request has If-Match.
             */
            version?: number;
            /** @description Optional. If it is present, it must be the id in the path. */
            productId?: string;
            /** @description Optional. If it is present, it must be the currency of the product. */
            currency?: string;
            /**
             * Format: date-time
             * @description Ignored, so that a client may send the product as it read it.
             */
            createdAt?: string;
            /**
             * Format: date-time
             * @description Ignored, so that a client may send the product as it read it.
             */
            updatedAt?: string;
        };
        /** @description The stock is less than the request needs. `items` names each line that falls short. No stock was taken. */
        InsufficientStockProblem: {
            /** @constant */
            type: "/problems/insufficient_stock";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "insufficient_stock";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            items: components["schemas"]["StockShortage"][];
        };
        StockShortage: {
            productId: string;
            requested: number;
            available: number;
        };
        StockAdjustment: {
            /**
             * Format: int32
             * @description A positive number is added to the stock. A negative number reduces the stock, never below 0. The number 0 is refused.
             */
            change: number;
            /**
             * @description The reason for the change. The stock ledger shows it.
             * @default
             */
            reason: string;
        };
        StockChangePage: {
            data: components["schemas"]["StockChange"][];
            /** @description The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one. */
            nextCursor: string | null;
        };
        StockChange: {
            /**
             * Format: int32
             * @description The quantity that was added to the stock. It is negative if the stock was reduced.
             */
            change: number;
            /**
             * Format: int32
             * @description The stock after the change.
             */
            stock: number;
            /** @description The id of the user who made the change, or `demo` or `audit` if the program itself made it. */
            by: string;
            reason: string;
            /** Format: date-time */
            at: string;
        };
        Order: {
            orderId: string;
            /** @description The id of the user who placed the order. */
            userId: string;
            /** @description The lines of the order, one for each product, in the order of their ids. */
            productList: components["schemas"]["OrderLine"][];
            /**
             * Format: double
             * @description The sum of price times quantity over all lines. Null if the order was never confirmed.
             */
            totalAmount: number | null;
            /** @description The currency of the amounts (ISO 4217). A confirmed order keeps the currency of its confirmation. An order that was never confirmed has the current one. */
            currency: string;
            status: components["schemas"]["OrderStatus"];
            /**
             * Format: int64
             * @description The version grows with every change. The ETag contains it.
             */
            version: number;
            /** Format: date-time */
            createdAt: string;
            /** Format: date-time */
            updatedAt: string;
        };
        OrderLine: {
            productId: string;
            /** @description The name of the product when its stock was reserved. Null if the order was never confirmed. */
            name: string | null;
            /**
             * Format: double
             * @description The price of one piece when the stock was reserved, a decimal amount with at most two decimal places. Null if the order was never confirmed.
             */
            price: number | null;
            /** Format: int32 */
            quantity: number;
        };
        /**
         * @description One of `pending`, `confirmed`, `shipped`, `delivered`, `cancelling`, `cancelled`, `rejected`. More statuses may be added, and `awaiting_payment` is reserved. Treat a status that you do not know as an order in progress.
         *
         *     `pending`: the stock is not reserved yet. `confirmed`: the stock is reserved for the order. `shipped`, `delivered`: an admin has set this status. `cancelling`: the stock is being released. `cancelled`: the stock is released. `rejected`: the stock did not suffice, or a product did not exist.
         * @example pending
         * @example confirmed
         * @example shipped
         * @example delivered
         * @example cancelling
         * @example cancelled
         * @example rejected
         */
        OrderStatus: string;
        /** @description An earlier request with this `Idempotency-Key` is still running, or the order that it left behind is being cancelled. */
        RequestInProgressProblem: {
            /** @constant */
            type: "/problems/request_in_progress";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "request_in_progress";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
        };
        /** @description The status of the order does not allow this step. `allowed` lists the steps that this user may take. */
        InvalidTransitionProblem: {
            /** @constant */
            type: "/problems/invalid_transition";
            title: string;
            /** @constant */
            status: 409;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "invalid_transition";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            from: components["schemas"]["OrderStatus"];
            to: components["schemas"]["OrderStatus"];
            allowed: components["schemas"]["RequestableOrderStatus"][];
        };
        /**
         * @description A status that a client may request. Owners may only request `cancelled`.
         * @enum {string}
         */
        RequestableOrderStatus: "shipped" | "delivered" | "cancelled";
        /** @description A product of the order does not exist. `productIds` names each. */
        UnknownProductProblem: {
            /** @constant */
            type: "/problems/unknown_product";
            title: string;
            /** @constant */
            status: 422;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "unknown_product";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
            productIds: string[];
        };
        OrderServiceUnavailableProblem: components["schemas"]["OrderDependencyUnavailableProblem"] | components["schemas"]["OrderOverloadedProblem"];
        /** @description The database or another service did not answer in time. A write may have taken effect. */
        OrderDependencyUnavailableProblem: {
            /** @constant */
            type: "/problems/dependency_unavailable";
            title: string;
            /** @constant */
            status: 503;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "dependency_unavailable";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
            /** @description The id of the order, if its outcome is not known yet. */
            orderId?: string;
        };
        /** @description Too many requests are waiting. */
        OrderOverloadedProblem: {
            /** @constant */
            type: "/problems/overloaded";
            title: string;
            /** @constant */
            status: 503;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "overloaded";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
            /** @description The id of the order, if its outcome is not known yet. */
            orderId?: string;
        };
        /** @description The quantities of lines with the same product are added. Names and prices come from the products, never from the client. */
        OrderDraft: {
            productList: components["schemas"]["OrderLineDraft"][];
        };
        OrderLineDraft: {
            productId: string;
            /** Format: int32 */
            quantity: number;
        };
        OrderPage: {
            data: components["schemas"]["Order"][];
            /** @description The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one. */
            nextCursor: string | null;
        };
        /** @enum {string} */
        OrderStatusFilter: "pending" | "confirmed" | "shipped" | "delivered" | "cancelling" | "cancelled" | "rejected";
        /**
         * @description `newest`: the order that was placed last comes first. `updated`: the order whose last change is the oldest comes first.
         * @default newest
         * @enum {string}
         */
        OrderSort: "newest" | "updated";
        /** @description The order does not exist, or belongs to another user. */
        OrderNotFoundProblem: {
            /** @constant */
            type: "/problems/order_not_found";
            title: string;
            /** @constant */
            status: 404;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "order_not_found";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: false;
            requestId: string;
        };
        OrderHistoryPage: {
            data: components["schemas"]["OrderStatusChange"][];
            /** @description The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one. */
            nextCursor: string | null;
        };
        OrderStatusChange: {
            status: components["schemas"]["OrderStatus"];
            /** Format: date-time */
            at: string;
            /** @description The id of the user whose request led to the status; or `sweeper` or `audit` if the program itself undid or completed an unfinished order. Null if it is not known, such as for changes by an earlier version of the program. */
            by: string | null;
        };
        OrderUpdate: {
            status: components["schemas"]["RequestableOrderStatus"];
        };
        Liveness: {
            status: string;
        };
        Readiness: {
            status: string;
            /** @description The databases and the services that do not answer at the moment: a database for less than 30 s, as during an election of MongoDB, and a service, by its name, however long. The field is absent if all of them answer. */
            unavailable?: string[];
        };
        ReadinessServiceUnavailableProblem: components["schemas"]["ReadinessDependencyUnavailableProblem"] | components["schemas"]["OverloadedProblem"];
        /** @description The database or another service did not answer in time. A write may have taken effect. */
        ReadinessDependencyUnavailableProblem: {
            /** @constant */
            type: "/problems/dependency_unavailable";
            title: string;
            /** @constant */
            status: 503;
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            code: "dependency_unavailable";
            /** @description What was wrong in this request, and what would be right. */
            detail: string;
            /** @constant */
            retryable: true;
            requestId: string;
            /** @description The time in seconds, as in the header Retry-After. */
            retryAfter: number;
            /** @description What the process lacks. */
            missing?: string[];
        };
        /** @description The paths of the pages that describe the API. */
        EntryPoint: {
            name: string;
            reference: string;
            document: string;
            problems: string;
        };
        /** @description An OpenAPI 3.1 document. */
        OpenApiDocument: {
            [key: string]: unknown;
        };
        ProblemTypeList: {
            data: components["schemas"]["ProblemType"][];
        };
        ProblemType: {
            /** @description The `type` of the problem: the path of this description. */
            type: string;
            code: string;
            status: number;
            title: string;
            /** @description What has happened, as Markdown. */
            meaning: string;
            /** @description What a client should do, as Markdown. */
            advice: string;
            /** @description Whether a program should send the same request again by itself. */
            retryable: boolean;
            /** @description A problem document with this code. */
            example: {
                [key: string]: unknown;
            };
        };
        /** @enum {string} */
        ProblemCode: "validation_failed" | "malformed_json" | "unauthenticated" | "invalid_token" | "token_expired" | "forbidden" | "route_not_found" | "method_not_allowed" | "request_timeout" | "version_conflict" | "request_in_progress" | "precondition_failed" | "body_too_large" | "unsupported_media_type" | "idempotency_key_reused" | "precondition_required" | "rate_limited" | "headers_too_large" | "internal_error" | "dependency_unavailable" | "overloaded" | "invalid_credentials" | "email_taken" | "username_taken" | "wrong_password" | "product_not_found" | "insufficient_stock" | "order_not_found" | "invalid_transition" | "unknown_product";
        RegisterAccountConflictProblem: components["schemas"]["EmailTakenProblem"] | components["schemas"]["UsernameTakenProblem"];
        PlaceOrderConflictProblem: components["schemas"]["RequestInProgressProblem"] | components["schemas"]["InvalidTransitionProblem"] | components["schemas"]["InsufficientStockProblem"];
        PlaceOrderUnprocessableEntityProblem: components["schemas"]["IdempotencyKeyReusedProblem"] | components["schemas"]["UnknownProductProblem"];
        /** @description A problem document (RFC 9457). More codes may be added. */
        Problem: components["schemas"]["ValidationFailedProblem"] | components["schemas"]["MalformedJsonProblem"] | components["schemas"]["RequestTimeoutProblem"] | components["schemas"]["EmailTakenProblem"] | components["schemas"]["UsernameTakenProblem"] | components["schemas"]["BodyTooLargeProblem"] | components["schemas"]["UnsupportedMediaTypeProblem"] | components["schemas"]["RateLimitedProblem"] | components["schemas"]["HeadersTooLargeProblem"] | components["schemas"]["InternalErrorProblem"] | components["schemas"]["DependencyUnavailableProblem"] | components["schemas"]["OverloadedProblem"] | components["schemas"]["RouteNotFoundProblem"] | components["schemas"]["MethodNotAllowedProblem"] | components["schemas"]["InvalidCredentialsProblem"] | components["schemas"]["InvalidTokenProblem"] | components["schemas"]["UnauthenticatedProblem"] | components["schemas"]["TokenExpiredProblem"] | components["schemas"]["WrongPasswordProblem"] | components["schemas"]["ForbiddenProblem"] | components["schemas"]["IdempotencyKeyReusedProblem"] | components["schemas"]["ProductNotFoundProblem"] | components["schemas"]["ProductVersionConflictProblem"] | components["schemas"]["PreconditionFailedProblem"] | components["schemas"]["PreconditionRequiredProblem"] | components["schemas"]["InsufficientStockProblem"] | components["schemas"]["RequestInProgressProblem"] | components["schemas"]["InvalidTransitionProblem"] | components["schemas"]["UnknownProductProblem"] | components["schemas"]["OrderNotFoundProblem"];
    };
    responses: {
        /** @description `request_timeout`: The request, or its body, took too long to arrive. The connection is closed. Repeat the request over a faster connection. */
        RequestTimeout: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["RequestTimeoutProblem"];
            };
        };
        /**
         * @description `email_taken`: An account has this e-mail address. Case does not matter. Sign in, or use another e-mail address.
         *
         *     `username_taken`: An account has this username. Case does not matter. Choose another username.
         */
        RegisterAccountConflict: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["RegisterAccountConflictProblem"];
            };
        };
        /** @description `body_too_large`: The body has more than 1 MiB. Send a smaller body. */
        BodyTooLarge: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["BodyTooLargeProblem"];
            };
        };
        /** @description `unsupported_media_type`: The body is not declared as JSON in UTF-8, or it is compressed. Send `Content-Type: application/json`, and no `Content-Encoding`. */
        UnsupportedMediaType: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnsupportedMediaTypeProblem"];
            };
        };
        /** @description `rate_limited`: There were too many failed sign-ins for an account or from an address, or too many registrations. `RateLimit-Policy` has the limits. Wait for `Retry-After` seconds. The time is longer each time that the limit is reached. */
        RateLimited: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["RateLimitedProblem"];
            };
        };
        /** @description `headers_too_large`: The request line and the header fields have more than 16 KiB together. Send fewer or shorter header fields. */
        HeadersTooLarge: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["HeadersTooLargeProblem"];
            };
        };
        /** @description `internal_error`: The program has a defect. The log has the error under the `requestId`. Report the error with its `requestId`. */
        InternalError: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InternalErrorProblem"];
            };
        };
        /**
         * @description `dependency_unavailable`: The database or another service did not answer in time. A write may have taken effect. Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if it has one.
         *
         *     `overloaded`: Too many requests are waiting. Repeat the request after `Retry-After` seconds.
         */
        ServiceUnavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ServiceUnavailableProblem"];
            };
        };
        /**
         * @description Any other problem. A client that does not know its `code` goes by `status` and `retryable`.
         *
         *     `route_not_found`: The path does not exist. Check the path. `/docs` lists the routes.
         *
         *     `method_not_allowed`: The path does not have this method. `Allow` and `allowed` list its methods. Use one of the methods in `allowed`.
         */
        OtherProblem: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                Allow: components["headers"]["Allow"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `invalid_credentials`: There is no account with this name and password. Ask the user for the password again. */
        InvalidCredentials: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InvalidCredentialsProblem"];
            };
        };
        /** @description `invalid_token`: The access token is damaged, is not for this API, or its account no longer exists; or the refresh token is unknown, spent or expired. Sign in again. */
        InvalidToken: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InvalidTokenProblem"];
            };
        };
        /**
         * @description `unauthenticated`: The request has no access token. Sign in, and send `Authorization: Bearer <token>`.
         *
         *     `invalid_token`: The access token is damaged, is not for this API, or its account no longer exists; or the refresh token is unknown, spent or expired. Sign in again.
         *
         *     `token_expired`: The access token has expired. Refresh the access token, or sign in again.
         */
        Unauthorized: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnauthorizedProblem"];
            };
        };
        /** @description `wrong_password`: `currentPassword` is not the password of the account. The access token is valid, so that refreshing it does not help. Ask the user for the current password again. */
        WrongPassword: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["WrongPasswordProblem"];
            };
        };
        /** @description The client has the current content: `If-None-Match` names its entity tag. The answer has no body. */
        NotModified: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                ETag: components["headers"]["ETag"];
                /** @description As in the answer 200. */
                Vary?: string;
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description `forbidden`: The role of the user does not allow this. Ask an admin to do this. */
        Forbidden: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ForbiddenProblem"];
            };
        };
        /** @description `idempotency_key_reused`: The `Idempotency-Key` was used for another request. Use a new key for a new request. */
        IdempotencyKeyReused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["IdempotencyKeyReusedProblem"];
            };
        };
        /** @description `product_not_found`: The product does not exist, or was deleted. Read the list of products again. */
        ProductNotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ProductNotFoundProblem"];
            };
        };
        /** @description `version_conflict`: The resource has changed since the `version` that the update names. `current` is its current state. Compare the change with `current`. Repeat the request with `currentVersion` as its `version`. */
        ProductVersionConflict: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ProductVersionConflictProblem"];
            };
        };
        /** @description `precondition_failed`: `If-Match` names another version than the current one, or `If-None-Match` names the current one. Read the resource again. Repeat the request with its current `ETag` if the change is still right. */
        PreconditionFailed: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["PreconditionFailedProblem"];
            };
        };
        /** @description `precondition_required`: The update does not say which version it is based on. Send `version` or `If-Match`. */
        PreconditionRequired: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["PreconditionRequiredProblem"];
            };
        };
        /** @description `insufficient_stock`: The stock is less than the request needs. `items` names each line that falls short. No stock was taken. Reduce the quantities. `items` has the available quantity of each product. */
        InsufficientStock: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InsufficientStockProblem"];
            };
        };
        /**
         * @description `request_in_progress`: An earlier request with this `Idempotency-Key` is still running, or the order that it left behind is being cancelled. Repeat the request unchanged after `Retry-After` seconds.
         *
         *     `invalid_transition`: The status of the order does not allow this step. `allowed` lists the steps that this user may take. Choose one of the steps in `allowed`.
         *
         *     `insufficient_stock`: The stock is less than the request needs. `items` names each line that falls short. No stock was taken. Reduce the quantities. `items` has the available quantity of each product.
         */
        PlaceOrderConflict: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                /** @description The time in seconds after which the client may repeat the request. */
                "Retry-After"?: number;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["PlaceOrderConflictProblem"];
            };
        };
        /**
         * @description `idempotency_key_reused`: The `Idempotency-Key` was used for another request. Use a new key for a new request.
         *
         *     `unknown_product`: A product of the order does not exist. `productIds` names each. Remove the products in `productIds` from the order.
         */
        PlaceOrderUnprocessableEntity: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["PlaceOrderUnprocessableEntityProblem"];
            };
        };
        /**
         * @description `dependency_unavailable`: The database or another service did not answer in time. A write may have taken effect. Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if it has one.
         *
         *     `overloaded`: Too many requests are waiting. Repeat the request after `Retry-After` seconds.
         */
        OrderServiceUnavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "Retry-After": components["headers"]["Retry-After"];
                /** @description The path of the order, if the answer has `orderId`. */
                Location?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["OrderServiceUnavailableProblem"];
            };
        };
        /** @description `order_not_found`: The order does not exist, or belongs to another user. Read the list of orders again. */
        OrderNotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["OrderNotFoundProblem"];
            };
        };
        /** @description `invalid_transition`: The status of the order does not allow this step. `allowed` lists the steps that this user may take. Choose one of the steps in `allowed`. */
        InvalidTransition: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InvalidTransitionProblem"];
            };
        };
        /**
         * @description `dependency_unavailable`: The database or another service did not answer in time. A write may have taken effect. Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if it has one.
         *
         *     `overloaded`: Too many requests are waiting. Repeat the request after `Retry-After` seconds.
         */
        ReadinessServiceUnavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ReadinessServiceUnavailableProblem"];
            };
        };
        /** @description `route_not_found`: The path does not exist. Check the path. `/docs` lists the routes. */
        RouteNotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["Cache-Control"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["RouteNotFoundProblem"];
            };
        };
    };
    parameters: {
        /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
        "If-None-Match": string;
    };
    requestBodies: never;
    headers: {
        /** @description The `X-Request-Id` of the request if it is well-formed, and otherwise a new one. The logs have it. */
        "X-Request-Id": string;
        /** @description `no-store` for personal data, tokens and errors: no cache keeps the answer. `no-cache`: a cache asks with `If-None-Match` before each use. */
        "Cache-Control": string;
        /** @description The path of the created resource. */
        Location: string;
        /** @description The time in seconds after which the client may repeat the request. */
        "Retry-After": number;
        /** @description The limits of the request, each with its quota and its window in seconds, such as `"account";q=10;w=900, "address";q=100;w=900` (draft-ietf-httpapi-ratelimit-headers). They are the same whichever limit was reached. */
        "RateLimit-Policy": string;
        /** @description The methods of the path. Only in an answer 405. */
        Allow: string;
        /** @description The scheme `Bearer` and the error (RFC 6750). */
        "WWW-Authenticate": string;
        /** @description A product or an order has its version as a strong entity tag, such as `"3"`. Any other answer has a weak entity tag of its content, such as `W/"q3Zk"`. */
        ETag: string;
        /** @description The request headers that the answer depends on: `Accept-Encoding`, and `Accept` if it selects JSON or HTML. `Origin` is also among them if the server allows pages of other origins. */
        Vary: string;
        /** @description `true` if the answer repeats the one to an earlier request with the same `Idempotency-Key`. Otherwise absent. */
        "Idempotent-Replayed": "true";
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    registerAccount: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "username": "ada",
                 *       "email": "ada@example.com",
                 *       "password": "correct horse battery"
                 *     }
                 */
                "application/json": components["schemas"]["AccountDraft"];
            };
        };
        responses: {
            /** @description The new account. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Location: components["headers"]["Location"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "username": "ada",
                     *       "email": "ada@example.com",
                     *       "role": "customer",
                     *       "createdAt": "2026-11-23T10:15:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["User"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["RegisterAccountConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["RateLimited"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    signIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignIn"];
            };
        };
        responses: {
            /** @description An access token and a refresh token. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "accessToken": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI2NmYyYTFiMCJ9.c2lnbmF0dXJl",
                     *       "tokenType": "Bearer",
                     *       "expiresIn": 900,
                     *       "refreshToken": "nQe0b3u0zq8Yw1rT5kXc9vLp"
                     *     }
                     */
                    "application/json": components["schemas"]["Tokens"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["InvalidCredentials"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["RateLimited"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    refreshTokens: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "refreshToken": "nQe0b3u0zq8Yw1rT5kXc9vLp"
                 *     }
                 */
                "application/json": components["schemas"]["TokenRefresh"];
            };
        };
        responses: {
            /** @description A new access token and a new refresh token. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "accessToken": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI2NmYyYTFiMCJ9.c2lnbmF0dXJl",
                     *       "tokenType": "Bearer",
                     *       "expiresIn": 900,
                     *       "refreshToken": "nQe0b3u0zq8Yw1rT5kXc9vLp"
                     *     }
                     */
                    "application/json": components["schemas"]["Tokens"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["InvalidToken"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    signOut: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "refreshToken": "nQe0b3u0zq8Yw1rT5kXc9vLp"
                 *     }
                 */
                "application/json": components["schemas"]["SignOut"];
            };
        };
        responses: {
            /** @description The refresh tokens of this sign-in are revoked. */
            204: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getProfile: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The account. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "username": "ada",
                     *       "email": "ada@example.com",
                     *       "role": "customer",
                     *       "createdAt": "2026-11-23T10:15:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["User"];
                };
            };
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    changePassword: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "currentPassword": "two cups of coffee",
                 *       "newPassword": "two cups of coffee"
                 *     }
                 */
                "application/json": components["schemas"]["PasswordChange"];
            };
        };
        responses: {
            /** @description The password is changed. */
            204: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["WrongPassword"];
            429: components["responses"]["RateLimited"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listPublicKeys: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The key set. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "keys": [
                     *         {
                     *           "kty": "OKP",
                     *           "crv": "Ed25519",
                     *           "alg": "EdDSA",
                     *           "use": "sig",
                     *           "kid": "2026-11",
                     *           "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["KeySet"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listProducts: {
        parameters: {
            query?: {
                /** @description Lists products whose name and description contain all these words, without regard to case and accents. At least one of several words must occur as a whole word, and the others may be parts of longer words. The best match comes first, and a word in the name counts more than one in the description. At most the best 1,000 matches are listed; with `sort`, these are sorted. If ranking takes more than a second, which happens at about 100,000 matches, any 1,000 matches are listed. */
                q?: string;
                /** @description Lists products at this price or above. At most two decimal places. */
                minPrice?: number;
                /** @description Lists products at this price or below. At most two decimal places, and not less than `minPrice`. */
                maxPrice?: number;
                /** @description `true` lists products that are in stock, and `false` those that are sold out. */
                inStock?: boolean;
                /** @description `newest`: the newest product comes first. `price`: the lowest price comes first. `-price`: the highest price comes first. `name`: by name, without regard to case. Products with equal prices or names are ordered by id. The default is `newest`. With `q`, the default is the best match first. */
                sort?: components["schemas"]["ProductSort"];
                /** @description The maximum number of entries on the page. */
                limit?: number;
                /** @description The `nextCursor` of the previous page, with the same filters and the same `sort`. Without a cursor, the answer is the first page. */
                cursor?: string;
            };
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of products. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "data": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "description": "Stoneware, 80 ml",
                     *           "price": 12.9,
                     *           "currency": "EUR",
                     *           "stock": 120,
                     *           "version": 1,
                     *           "createdAt": "2026-11-23T10:15:00.000Z",
                     *           "updatedAt": "2026-11-23T10:15:00.000Z"
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182909",
                     *           "name": "Cappuccino cup",
                     *           "description": "Stoneware, 180 ml",
                     *           "price": 14.9,
                     *           "currency": "EUR",
                     *           "stock": 80,
                     *           "version": 1,
                     *           "createdAt": "2026-11-23T10:15:00.000Z",
                     *           "updatedAt": "2026-11-23T10:15:00.000Z"
                     *         }
                     *       ],
                     *       "nextCursor": "WyJuZXdlc3QiLHsia2V5IjoxfV0"
                     *     }
                     */
                    "application/json": components["schemas"]["ProductPage"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    createProduct: {
        parameters: {
            query?: never;
            header?: {
                /** @description A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "French press",
                 *       "description": "Glass and steel, 1 l",
                 *       "price": 34.5,
                 *       "stock": 15
                 *     }
                 */
                "application/json": components["schemas"]["ProductDraft"];
            };
        };
        responses: {
            /** @description The new product. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Location: components["headers"]["Location"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f60718290b",
                     *       "name": "French press",
                     *       "description": "Glass and steel, 1 l",
                     *       "price": 34.5,
                     *       "stock": 15,
                     *       "currency": "EUR",
                     *       "version": 1,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["IdempotencyKeyReused"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    createProductAlias: {
        parameters: {
            query?: never;
            header?: {
                /** @description A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "French press",
                 *       "description": "Glass and steel, 1 l",
                 *       "price": 34.5,
                 *       "stock": 15
                 *     }
                 */
                "application/json": components["schemas"]["ProductDraft"];
            };
        };
        responses: {
            /** @description The new product. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Location: components["headers"]["Location"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f60718290b",
                     *       "name": "French press",
                     *       "description": "Glass and steel, 1 l",
                     *       "price": 34.5,
                     *       "stock": 15,
                     *       "currency": "EUR",
                     *       "version": 1,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["IdempotencyKeyReused"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getProduct: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The product. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f60718290a",
                     *       "name": "Espresso cup",
                     *       "description": "Stoneware, 80 ml",
                     *       "price": 12.9,
                     *       "currency": "EUR",
                     *       "stock": 120,
                     *       "version": 1,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    updateProduct: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "price": 15.9,
                 *       "version": 1
                 *     }
                 */
                "application/json": components["schemas"]["ProductUpdate"];
            };
        };
        responses: {
            /** @description The product after the update. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f607182909",
                     *       "name": "Cappuccino cup",
                     *       "description": "Stoneware, 180 ml",
                     *       "price": 15.9,
                     *       "currency": "EUR",
                     *       "stock": 80,
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["ProductVersionConflict"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            428: components["responses"]["PreconditionRequired"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    deleteProduct: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The product is deleted. */
            204: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            412: components["responses"]["PreconditionFailed"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    patchProduct: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "description": "Aluminium, for three cups, with a spare seal",
                 *       "version": 1
                 *     }
                 */
                "application/json": components["schemas"]["ProductUpdate"];
                /**
                 * @example {
                 *       "description": "Aluminium, for three cups, with a spare seal",
                 *       "version": 1
                 *     }
                 */
                "application/merge-patch+json": components["schemas"]["ProductUpdate"];
            };
        };
        responses: {
            /** @description The product after the update. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f607182908",
                     *       "name": "Moka pot",
                     *       "description": "Aluminium, for three cups, with a spare seal",
                     *       "price": 29.99,
                     *       "currency": "EUR",
                     *       "stock": 40,
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["ProductVersionConflict"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            428: components["responses"]["PreconditionRequired"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listStockChanges: {
        parameters: {
            query?: {
                /** @description The maximum number of entries on the page. */
                limit?: number;
                /** @description The `nextCursor` of the previous page, with the same filters and the same `sort`. Without a cursor, the answer is the first page. */
                cursor?: string;
            };
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of stock changes. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "data": [
                     *         {
                     *           "change": 25,
                     *           "stock": 225,
                     *           "by": "66f2a1b0c3d4e5f607182900",
                     *           "reason": "Delivery 4711",
                     *           "at": "2026-11-23T10:20:00.000Z"
                     *         },
                     *         {
                     *           "change": 200,
                     *           "stock": 200,
                     *           "by": "demo",
                     *           "reason": "created",
                     *           "at": "2026-11-23T10:15:00.000Z"
                     *         }
                     *       ],
                     *       "nextCursor": null
                     *     }
                     */
                    "application/json": components["schemas"]["StockChangePage"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    changeStock: {
        parameters: {
            query?: never;
            header?: {
                /** @description A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused. */
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "change": 25,
                 *       "reason": "Delivery 4711"
                 *     }
                 */
                "application/json": components["schemas"]["StockAdjustment"];
            };
        };
        responses: {
            /** @description The product after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "productId": "66f2a1b0c3d4e5f607182904",
                     *       "name": "House blend",
                     *       "description": "Whole beans, 1 kg",
                     *       "price": 18.99,
                     *       "currency": "EUR",
                     *       "stock": 225,
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Product"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["InsufficientStock"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["IdempotencyKeyReused"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listOrders: {
        parameters: {
            query?: {
                /** @description Lists only the orders of this user. A customer may only send their own id. */
                userId?: string;
                /** @description Lists only the orders with this status. To list several statuses, repeat the parameter: `status=shipped&status=delivered`. Without it, the list has every status except `rejected`. */
                status?: components["schemas"]["OrderStatusFilter"][];
                /** @description Lists only the orders that were placed at this time or later. In a URL, the `+` of an offset is written as `%2B`. */
                createdAfter?: string;
                /** @description Lists only the orders that were placed before this time. So an order is in only one of two ranges if the second begins at the end of the first. In a URL, the `+` of an offset is written as `%2B`. */
                createdBefore?: string;
                /** @description Only with `sort=updated`: lists only the orders that changed after this time. In a URL, the `+` of an offset is written as `%2B`. */
                updatedAfter?: string;
                /** @description `newest`: the order that was placed last comes first. `updated`: the order whose last change is the oldest comes first. */
                sort?: components["schemas"]["OrderSort"];
                /** @description The maximum number of entries on the page. */
                limit?: number;
                /** @description The `nextCursor` of the previous page, with the same filters and the same `sort`. Without a cursor, the answer is the first page. */
                cursor?: string;
            };
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of orders. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "data": [
                     *         {
                     *           "orderId": "66f2a1b0c3d4e5f607182a01",
                     *           "userId": "66f2a1b0c3d4e5f607182900",
                     *           "productList": [
                     *             {
                     *               "productId": "66f2a1b0c3d4e5f607182905",
                     *               "name": "Paper filters",
                     *               "price": 3.99,
                     *               "quantity": 1
                     *             },
                     *             {
                     *               "productId": "66f2a1b0c3d4e5f60718290a",
                     *               "name": "Espresso cup",
                     *               "price": 12.9,
                     *               "quantity": 2
                     *             }
                     *           ],
                     *           "totalAmount": 29.79,
                     *           "currency": "EUR",
                     *           "status": "confirmed",
                     *           "version": 2,
                     *           "createdAt": "2026-11-23T10:15:00.000Z",
                     *           "updatedAt": "2026-11-23T10:15:00.012Z"
                     *         }
                     *       ],
                     *       "nextCursor": null
                     *     }
                     */
                    "application/json": components["schemas"]["OrderPage"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    placeOrder: {
        parameters: {
            query?: never;
            header?: {
                /** @description A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "productList": [
                 *         {
                 *           "productId": "66f2a1b0c3d4e5f60718290a",
                 *           "quantity": 2
                 *         },
                 *         {
                 *           "productId": "66f2a1b0c3d4e5f607182905",
                 *           "quantity": 1
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["OrderDraft"];
            };
        };
        responses: {
            /** @description The confirmed order. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Location: components["headers"]["Location"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "confirmed",
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.012Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["PlaceOrderConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["PlaceOrderUnprocessableEntity"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    placeOrderAlias: {
        parameters: {
            query?: never;
            header?: {
                /** @description A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "productList": [
                 *         {
                 *           "productId": "66f2a1b0c3d4e5f60718290a",
                 *           "quantity": 2
                 *         },
                 *         {
                 *           "productId": "66f2a1b0c3d4e5f607182905",
                 *           "quantity": 1
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["OrderDraft"];
            };
        };
        responses: {
            /** @description The confirmed order. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Location: components["headers"]["Location"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "confirmed",
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.012Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["PlaceOrderConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["PlaceOrderUnprocessableEntity"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getOrder: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The `orderId` of an order that was placed. */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The order. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "confirmed",
                     *       "version": 2,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:15:00.012Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["OrderNotFound"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    updateOrder: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                /** @description The `orderId` of an order that was placed. */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "status": "cancelled"
                 *     }
                 */
                "application/json": components["schemas"]["OrderUpdate"];
            };
        };
        responses: {
            /** @description The order after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelled",
                     *       "version": 4,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /** @description The order is being cancelled. Its stock could not be released at once, and will be released later without another request. */
            202: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelling",
                     *       "version": 3,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["OrderNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["InvalidTransition"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    cancelOrder: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                /** @description The `orderId` of an order that was placed. */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The order after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelled",
                     *       "version": 4,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /** @description The order is being cancelled. Its stock could not be released at once, and will be released later without another request. */
            202: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelling",
                     *       "version": 3,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["OrderNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["InvalidTransition"];
            412: components["responses"]["PreconditionFailed"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    patchOrder: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them. */
                "If-Match"?: string;
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them. */
                "If-None-Match"?: string;
            };
            path: {
                /** @description The `orderId` of an order that was placed. */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "status": "cancelled"
                 *     }
                 */
                "application/json": components["schemas"]["OrderUpdate"];
                /**
                 * @example {
                 *       "status": "cancelled"
                 *     }
                 */
                "application/merge-patch+json": components["schemas"]["OrderUpdate"];
            };
        };
        responses: {
            /** @description The order after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelled",
                     *       "version": 4,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /** @description The order is being cancelled. Its stock could not be released at once, and will be released later without another request. */
            202: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "orderId": "66f2a1b0c3d4e5f607182a01",
                     *       "userId": "66f2a1b0c3d4e5f607182900",
                     *       "productList": [
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f607182905",
                     *           "name": "Paper filters",
                     *           "price": 3.99,
                     *           "quantity": 1
                     *         },
                     *         {
                     *           "productId": "66f2a1b0c3d4e5f60718290a",
                     *           "name": "Espresso cup",
                     *           "price": 12.9,
                     *           "quantity": 2
                     *         }
                     *       ],
                     *       "totalAmount": 29.79,
                     *       "currency": "EUR",
                     *       "status": "cancelling",
                     *       "version": 3,
                     *       "createdAt": "2026-11-23T10:15:00.000Z",
                     *       "updatedAt": "2026-11-23T10:20:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Order"];
                };
            };
            /**
             * @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names.
             *
             *     `malformed_json`: The body is not JSON, or not UTF-8. Send a JSON body in UTF-8.
             */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["BadRequestProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["OrderNotFound"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["InvalidTransition"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listOrderHistory: {
        parameters: {
            query?: {
                /** @description The maximum number of entries on the page. */
                limit?: number;
                /** @description The `nextCursor` of the previous page, with the same filters and the same `sort`. Without a cursor, the answer is the first page. */
                cursor?: string;
            };
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The `orderId` of an order that was placed. */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of statuses. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "data": [
                     *         {
                     *           "status": "pending",
                     *           "at": "2026-11-23T10:15:00.000Z",
                     *           "by": "66f2a1b0c3d4e5f607182900"
                     *         },
                     *         {
                     *           "status": "confirmed",
                     *           "at": "2026-11-23T10:15:00.012Z",
                     *           "by": "66f2a1b0c3d4e5f607182900"
                     *         }
                     *       ],
                     *       "nextCursor": null
                     *     }
                     */
                    "application/json": components["schemas"]["OrderHistoryPage"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["OrderNotFound"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["OrderServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    checkLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process is alive. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "alive"
                     *     }
                     */
                    "application/json": components["schemas"]["Liveness"];
                };
            };
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    checkReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process may receive traffic. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ready"
                     *     }
                     */
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ReadinessServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getRoot: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The paths of the documentation. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "name": "Trivet",
                     *       "reference": "/docs",
                     *       "document": "/openapi.json",
                     *       "problems": "/problems"
                     *     }
                     */
                    "application/json": components["schemas"]["EntryPoint"];
                    "text/html": string;
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getOpenApiDocument: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The OpenAPI 3.1 document of the whole API. Every service has it. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "openapi": "3.1.0",
                     *       "info": {
                     *         "title": "Trivet",
                     *         "version": "0.1.0"
                     *       },
                     *       "paths": {}
                     *     }
                     */
                    "application/json": components["schemas"]["OpenApiDocument"];
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getReference: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description An HTML page that works without internet access. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    listProblems: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All problems. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "data": [
                     *         {
                     *           "type": "/problems/forbidden",
                     *           "code": "forbidden",
                     *           "status": 403,
                     *           "title": "Your role does not allow this",
                     *           "meaning": "The role of the user does not allow this.",
                     *           "advice": "Ask an admin to do this.",
                     *           "retryable": false,
                     *           "example": {
                     *             "type": "/problems/forbidden",
                     *             "title": "Your role does not allow this",
                     *             "status": 403,
                     *             "code": "forbidden",
                     *             "detail": "Your role does not allow this",
                     *             "retryable": false,
                     *             "requestId": "b1f2c3d4-0000-4000-8000-000000000000"
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ProblemTypeList"];
                    "text/html": string;
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
    getProblem: {
        parameters: {
            query?: never;
            header?: {
                /** @description RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @example forbidden */
                code: components["schemas"]["ProblemCode"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The meaning of the code, and what a client should do. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/forbidden",
                     *       "code": "forbidden",
                     *       "status": 403,
                     *       "title": "Your role does not allow this",
                     *       "meaning": "The role of the user does not allow this.",
                     *       "advice": "Ask an admin to do this.",
                     *       "retryable": false,
                     *       "example": {
                     *         "type": "/problems/forbidden",
                     *         "title": "Your role does not allow this",
                     *         "status": 403,
                     *         "code": "forbidden",
                     *         "detail": "Your role does not allow this",
                     *         "retryable": false,
                     *         "requestId": "b1f2c3d4-0000-4000-8000-000000000000"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ProblemType"];
                    "text/html": string;
                };
            };
            304: components["responses"]["NotModified"];
            /** @description `validation_failed`: A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more. Correct the fields and parameters that `errors` names. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ValidationFailedProblem"];
                };
            };
            404: components["responses"]["RouteNotFound"];
            408: components["responses"]["RequestTimeout"];
            431: components["responses"]["HeadersTooLarge"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["ServiceUnavailable"];
            default: components["responses"]["OtherProblem"];
        };
    };
}
